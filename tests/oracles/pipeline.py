"""A pipeline timed action by action, in plain Python: the slow, obvious twin of any simulator.

A schedule is a list for each rank of (kind, stage, microbatch): "F" a forward pass, "B" a whole backward pass, or its
halves, "I" for the gradient of what came in and "W" for that of the weights.
"""

Step = tuple[str, int, int]


def needs(step: Step, num_stages: int) -> list[set[Step]]:
    """What must be done before a step: of each set, one."""
    kind, stage, microbatch = step
    if kind == "F":
        return [{("F", stage - 1, microbatch)}] if stage else []
    if kind == "W":
        return [{("I", stage, microbatch)}]
    found = [{("F", stage, microbatch)}]
    if stage < num_stages - 1:
        found.append({("B", stage + 1, microbatch), ("I", stage + 1, microbatch)})
    return found


def run(ranks: list[list[Step]], seconds: dict[str, float]) -> tuple[float, list[Step]]:
    """When the last step ends, and the first step of every rank that could never begin."""
    num_stages = len(ranks)
    ends: dict[Step, float] = {}
    clock, place = [0.0] * num_stages, [0] * num_stages
    for _ in range(sum(len(steps) for steps in ranks)):
        for rank, steps in enumerate(ranks):
            if place[rank] == len(steps):
                continue
            step = steps[place[rank]]
            done = [[ends[each] for each in either if each in ends] for either in needs(step, num_stages)]
            if all(done):
                clock[rank] = max([clock[rank], *(min(times) for times in done)]) + seconds[step[0]]
                ends[step] = clock[rank]
                place[rank] += 1
    stuck = [steps[at] for steps, at in zip(ranks, place, strict=True) if at < len(steps)]
    return max(clock), stuck


def most_held(steps: list[Step]) -> int:
    """How many microbatches' activations one rank holds at most: from F until B, or until W."""
    held, most = 0, 0
    for kind, _, _ in steps:
        held += {"F": 1, "B": -1, "W": -1, "I": 0}[kind]
        most = max(most, held)
    return most
