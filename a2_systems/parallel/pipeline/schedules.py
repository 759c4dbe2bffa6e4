"""Five schedules of a pipeline as lists of actions, from the plainest to those whose bubble is nearly gone.

Let p be the ranks, m the microbatches, F the time of a forward pass through all that a rank holds, B = I + W that of
its backward pass. A rank works m (F + B); what it waits besides is the bubble:

    gpipe        (p - 1) (F + B)                  m microbatches' activations held
    1f1b         (p - 1) (F + B)                  p - rank
    interleaved  (p - 1) (F + B) / v              more, of stages v times thinner; v times the messages
    zero_bubble  (p - 1) (F + I - W)              p
    dualpipe     (p/2 - 1) (F + 2 B - 3 W) at most  p + 1; every rank holds two stages' weights

the last two for m large enough and W no longer than I and F. Any other list works as well, as long as
`check_schedule` accepts it.
"""

from collections.abc import Callable, Iterator

from a2_systems.parallel.pipeline.actions import (
    Action,
    Schedule,
    ScheduleError,
    backward,
    backward_input,
    backward_weight,
    forward,
)


def gpipe(num_ranks: int, num_microbatches: int) -> Schedule:
    """All forward passes, then all backward passes, the last first: its activations are the freshest.

    Source: [gpipe-2019] section 2.3.
    """
    there, back = range(num_microbatches), reversed(range(num_microbatches))
    order = [(forward, each) for each in there] + [(backward, each) for each in back]
    ranks = tuple(tuple(act(rank, each) for act, each in order) for rank in range(num_ranks))
    return _schedule("gpipe", num_ranks, num_microbatches, ranks)


def one_forward_one_backward(num_ranks: int, num_microbatches: int) -> Schedule:
    """As many forward passes as it takes until the first gradient comes back; then one of each in turn.

    The bubble is that of `gpipe`. What shrinks is memory: a rank holds at most p - rank microbatches, however many
    there are.

    Source: [pipedream-flush-2021] section 3.
    """
    ranks = []
    for rank in range(num_ranks):
        ahead = min(num_ranks - 1 - rank, num_microbatches)
        actions = [forward(rank, each) for each in range(ahead)]
        for each in range(num_microbatches):
            if each + ahead < num_microbatches:
                actions.append(forward(rank, each + ahead))
            actions.append(backward(rank, each))
        ranks.append(tuple(actions))
    return _schedule("1f1b", num_ranks, num_microbatches, tuple(ranks))


def interleaved(num_ranks: int, num_microbatches: int, num_chunks: int = 2) -> Schedule:
    """1F1B over stages that are `num_chunks` times thinner: rank r holds stages r, r + p, r + 2p and so on.

    A pipeline fills and empties in steps of one stage, so thinner stages make the bubble smaller, for more messages.
    Microbatches go in groups of p: a group passes a rank's first chunk, then its second, by when the first of the
    group has come around.

    Raises:
        ScheduleError: the microbatches are no multiple of the ranks.
    Source: [megatron-2021] section 2.2.2.
    """
    if num_microbatches % num_ranks:
        raise ScheduleError(
            f"interleaved: {num_microbatches} microbatches on {num_ranks} ranks; they go round in groups, so take a "
            f"multiple of {num_ranks} for --microbatches"
        )
    total = num_microbatches * num_chunks

    def turn(number: int, chunk_order: range) -> tuple[int, int]:
        """The chunk and the microbatch of a rank's forward (or backward) pass of this number."""
        group, within = divmod(number, num_ranks * num_chunks)
        chunk, member = divmod(within, num_ranks)
        return chunk_order[chunk], group * num_ranks + member

    ranks = []
    for rank in range(num_ranks):

        def there(number: int, rank: int = rank) -> Action:
            chunk, microbatch = turn(number, range(num_chunks))
            return forward(chunk * num_ranks + rank, microbatch)

        def back(number: int, rank: int = rank) -> Action:
            chunk, microbatch = turn(number, range(num_chunks)[::-1])
            return backward(chunk * num_ranks + rank, microbatch)

        # Until the first gradient comes back the last rank needs one group through all its chunks but the last, and
        # each rank before it two passes more: one on the way there, one on the way back.
        ahead = min(2 * (num_ranks - 1 - rank) + (num_chunks - 1) * num_ranks, total)
        actions = [there(number) for number in range(ahead)]
        for number in range(total):
            if number + ahead < total:
                actions.append(there(number + ahead))
            actions.append(back(number))
        ranks.append(tuple(actions))
    return _schedule("interleaved", num_ranks * num_chunks, num_microbatches, tuple(ranks))


def zero_bubble(num_ranks: int, num_microbatches: int) -> Schedule:
    """1F1B whose backward pass is cut in two: the gradient that others wait for first, that of the weights in gaps.

    Rank r puts its weight gradients off by r microbatches. A rank far down the pipeline, which holds few activations,
    thereby has work left for the end, where it would wait; none holds more than p.

    Source: [zero-bubble-2023] section 2.3, the schedule ZB-H1.
    """
    ranks = []
    for rank in range(num_ranks):
        ahead = min(num_ranks - 1 - rank, num_microbatches)
        actions = [forward(rank, each) for each in range(ahead)]
        for each in range(num_microbatches):
            if each + ahead < num_microbatches:
                actions.append(forward(rank, each + ahead))
            actions.append(backward_input(rank, each))
            if each >= rank:
                actions.append(backward_weight(rank, each - rank))
        first_left = max(num_microbatches - rank, 0)
        actions += [backward_weight(rank, each) for each in range(first_left, num_microbatches)]
        ranks.append(tuple(actions))
    return _schedule("zero_bubble", num_ranks, num_microbatches, tuple(ranks))


def dualpipe(num_ranks: int, num_microbatches: int) -> Schedule:
    """Two pipelines through the same ranks in opposite directions: each fills the other's bubble.

    The first half of the microbatches enters at rank 0, the second at the last rank, so every rank holds two stages and
    every stage lies on two ranks, whose gradients are added up at the end. In the steady state a forward pass of one
    direction goes with a backward pass of the other; on GPUs the messages of one travel while the other computes.

    Raises:
        ScheduleError: an odd number of ranks or microbatches, or fewer than two microbatches for each rank.
    Source: [deepseek-v3-2024] section 3.2.1, figure 5.
    """
    if num_ranks % 2 or num_microbatches % 2 or num_microbatches < 2 * num_ranks:
        raise ScheduleError(
            f"dualpipe: {num_ranks} ranks and {num_microbatches} microbatches; wanted an even number of ranks, and "
            "an even number of --microbatches, at least twice as many"
        )
    ranks = tuple(tuple(_dualpipe_rank(rank, num_ranks, num_microbatches)) for rank in range(num_ranks))
    return _schedule("dualpipe", num_ranks, num_microbatches, ranks)


def _dualpipe_rank(rank: int, num_ranks: int, num_microbatches: int) -> Iterator[Action]:
    """One rank's list; `near` is the direction that enters at the end of the pipeline to which the rank is nearer."""
    depth = min(rank, num_ranks - 1 - rank)  # ranks between this one and its end
    to_middle = num_ranks // 2 - 1 - depth
    half = num_microbatches // 2
    first = rank >= num_ranks // 2  # the microbatches of `near`: the first half, or the second
    stages = (rank, num_ranks - 1 - rank) if not first else (num_ranks - 1 - rank, rank)
    near_far = tuple(
        (stage, iter(range(start, start + half)), iter(range(start, start + half)))
        for stage, start in zip(stages, (half, 0) if first else (0, half), strict=True)
    )
    late: list[Action] = []  # weight gradients put off
    near, far = near_far

    def f(direction: tuple[int, Iterator[int], Iterator[int]]) -> Action:
        return forward(direction[0], next(direction[1]))

    def b(direction: tuple[int, Iterator[int], Iterator[int]]) -> Action:
        return backward(direction[0], next(direction[2]))

    def i(direction: tuple[int, Iterator[int], Iterator[int]]) -> Action:
        stage, microbatch = direction[0], next(direction[2])
        late.append(backward_weight(stage, microbatch))
        return backward_input(stage, microbatch)

    for _ in range(2 * to_middle):
        yield f(near)
    for _ in range(depth + 1):
        yield f(near)
        yield f(far)
    for _ in range(to_middle):
        yield i(far)
        yield late.pop(0)
        yield f(far)
    for _ in range(half - num_ranks + depth + 1):  # the steady state
        yield f(near)
        yield b(far)
        yield f(far)
        yield b(near)
    for _ in range(to_middle):
        yield b(far)
        yield f(far)
        yield b(near)
    turns = [far, near] * (depth + 1)
    whole = depth + 1  # of these the first half at once; then weights are put off, to fill what is left
    for number, direction in enumerate(turns):
        yield b(direction) if number < whole else i(direction)
    for _ in range(to_middle):
        yield late.pop(0)
        yield i(near)
    yield from late


SCHEDULES: dict[str, Callable[[int, int], Schedule]] = {
    "gpipe": gpipe,
    "1f1b": one_forward_one_backward,
    "interleaved": interleaved,
    "zero_bubble": zero_bubble,
    "dualpipe": dualpipe,
}


def schedule_named(name: str, num_ranks: int, num_microbatches: int) -> Schedule:
    """The schedule of this name.

    Raises:
        ScheduleError: there is none, or it cannot be had for these numbers.
    """
    if name not in SCHEDULES:
        raise ScheduleError(f"there is no schedule {name!r}; known: {', '.join(SCHEDULES)}")
    if num_ranks < 1 or num_microbatches < 1:
        raise ScheduleError(
            f"{name}: {num_ranks} ranks and {num_microbatches} microbatches; wanted at least one of each"
        )
    return SCHEDULES[name](num_ranks, num_microbatches)


def _schedule(
    name: str, num_stages: int, num_microbatches: int, ranks: tuple[tuple[Action, ...], ...]
) -> Schedule:
    return Schedule(name, num_stages, num_microbatches, ranks)
