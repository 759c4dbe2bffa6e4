"""A schedule, run: each rank does its list of actions, as it stands, and sends results to whoever needs them next.

    pipeline = Pipeline(model, one_forward_one_backward(4, 8))
    optimizer = AdamW(pipeline.parameters())
    loss = pipeline.step(token_ids, targets, cross_entropy)  # gradients are there afterwards
    optimizer.step()

While a rank computes, one receive from each of its peers is under way, and sends do not wait. Between two ranks,
messages are posted in one order that both know, that of the drawn timeline: libraries that match messages by their
order (NCCL) cannot lock up. A result that was sent is let go as soon as an answer shows that it has arrived.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn

from a2_systems.parallel.pipeline.actions import Action, Kind, Schedule, check_schedule
from a2_systems.parallel.pipeline.shared_parameters import SharedParameters
from a2_systems.parallel.pipeline.simulator import Span, simulate
from a2_systems.parallel.pipeline.stages import Stage, causal
from a2_systems.parallel.pipeline.weight_gradients import LaterWork, WeightGradients
from shared.doors.protocols import Attend
from shared.doors.systems import Forward, LossOf
from shared.errors import ConfigError


def plain_forward(stage: nn.Module, features: Tensor) -> Tensor:
    """A stage as it is."""
    return stage(features)


@dataclass(frozen=True)
class Message:
    """What one rank has computed and another needs: activations of a stage, or the gradient of its input."""

    kind: Kind  # FORWARD or BACKWARD
    stage: int  # that computed it
    microbatch: int
    source: int
    target: int


def messages(schedule: Schedule) -> list[Message]:
    """All messages of a step between different ranks, in the order in which they come to be."""
    rank_of, found = schedule.rank_of(), []
    for span in sorted(simulate(schedule).spans, key=lambda span: (span.end, span.rank)):
        kind, stage, microbatch = span.action
        if kind is Kind.BACKWARD_WEIGHT:
            continue
        kind, after = (Kind.FORWARD, stage + 1) if kind is Kind.FORWARD else (Kind.BACKWARD, stage - 1)
        target = rank_of.get((after, microbatch), span.rank)  # there is nothing behind the ends
        if target != span.rank:
            found.append(Message(kind, stage, microbatch, span.rank, target))
    return found


def acknowledged(schedule: Schedule, mine: list[Message], rank: int) -> dict[Message, list[Message]]:
    """For each message that a rank receives, those of its own that must have arrived for it to have been computed."""
    produced, consumed = {}, {}
    for actions in schedule.ranks:
        for at, (kind, stage, microbatch) in enumerate(actions):
            if kind is not Kind.BACKWARD_WEIGHT:
                kind, before = (kind, stage - 1) if kind is Kind.FORWARD else (Kind.BACKWARD, stage + 1)
                produced[kind, stage, microbatch] = consumed[kind, before, microbatch] = at
    waiting, found = [each for each in mine if each.source == rank], {}
    for answer in (each for each in mine if each.target == rank):
        at = produced[answer.kind, answer.stage, answer.microbatch]
        found[answer] = [
            sent
            for sent in waiting
            if sent.target == answer.source and consumed[sent.kind, sent.stage, sent.microbatch] <= at
        ]
        waiting = [sent for sent in waiting if sent not in found[answer]]
    return found


class Pipeline:
    """This rank's stages of a model, and the schedule by which all ranks train it.

    Every rank gives the same model; what several ranks hold starts as on the lowest of them. Afterwards the model may
    be dropped.

    Raises:
        ScheduleError: the schedule cannot be run. ConfigError: it is for another number of ranks, or the model cannot
            be cut into its stages.
    """

    def __init__(self, model: nn.Module, schedule: Schedule, attend: Attend = causal) -> None:
        check_schedule(schedule)
        if len(schedule.ranks) != dist.get_world_size():
            raise ConfigError(
                f"the schedule {schedule.name} is for {len(schedule.ranks)} ranks and there are "
                f"{dist.get_world_size()}; make it for as many as there are"
            )
        self.schedule, self.rank = schedule, dist.get_rank()
        pieces = [Stage(model, stage, schedule.num_stages, attend) for stage in range(schedule.num_stages)]
        self.stages = {stage: pieces[stage] for stage in schedule.stages_of(self.rank)}
        name_of = {
            id(parameter): name for name, parameter in model.named_parameters()
        }  # one for a tied one, too
        held = [
            {
                name_of[id(each)]: each
                for stage in schedule.stages_of(rank)
                for each in pieces[stage].parameters()
            }
            for rank in range(len(schedule.ranks))
        ]
        self._parameters = held[self.rank]
        self.shared = SharedParameters([set(names) for names in held], dict(model.named_parameters()))
        self.shared.start_equal()
        self.spans: list[Span] = []  # of the last step: what was run, and when, in seconds
        self._weight_gradients = WeightGradients()
        for stage in self.stages.values():
            self._weight_gradients.take_over(stage)
            stage.linear = self._weight_gradients.linear
        self._rank_of = schedule.rank_of()
        table = model.get_parameter("token_embeddings.weight")
        self.width, self.dtype = table.shape[1], table.dtype  # of the features that travel
        self._messages = [each for each in messages(schedule) if self.rank in (each.source, each.target)]
        self._acknowledged = acknowledged(schedule, self._messages, self.rank)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """This rank's parameters, each once, by their names in the whole model."""
        yield from self._parameters.items()

    def parameters(self) -> Iterator[nn.Parameter]:
        """For the optimizer."""
        yield from (parameter for _, parameter in self.named_parameters())

    def full_parameters(self) -> dict[str, Tensor]:
        """Every parameter of the whole model by its name, on every rank; called on all."""
        return self.shared.gathered(dict(self.named_parameters()))

    def step(
        self,
        token_ids: Int[Tensor, "batch seq"],
        targets: Int[Tensor, "batch seq"],
        loss_of: LossOf,
        forward: Forward = plain_forward,
    ) -> Float[Tensor, ""]:
        """Forward and backward over a batch that all ranks have; the mean loss, on all ranks.

        `loss_of(logits, targets)` is a mean over its tokens; `forward` calls a stage. Gradients are added to what is
        there, as `backward` does.

        Raises:
            ConfigError: the batch cannot be cut into equal microbatches.
        """
        count = self.schedule.num_microbatches
        if token_ids.shape[0] % count:
            raise ConfigError(
                f"a batch of {token_ids.shape[0]} sequences and {count} microbatches; a mean over the batch is the "
                "mean over microbatches only if they are equal: take a multiple"
            )
        self.shared.set_gradients_aside()
        step = _Step(self, token_ids.chunk(count), targets.chunk(count), loss_of, forward)
        step.look_ahead()
        for action in self.schedule.ranks[self.rank]:
            start = time.perf_counter()
            step.run(action)
            step.look_ahead()
            self.spans.append(Span(self.rank, action, start, time.perf_counter()))
        step.wait_for_sends()
        self.shared.add_up_gradients()
        dist.all_reduce(step.loss)
        return step.loss


class _Step:
    """What a rank holds while it goes through its list once."""

    def __init__(
        self,
        pipeline: Pipeline,
        token_ids: tuple[Tensor, ...],
        targets: tuple[Tensor, ...],
        loss_of: LossOf,
        forward_of: Forward,
    ) -> None:
        self.pipeline, self.token_ids, self.targets = pipeline, token_ids, targets
        self.loss_of, self.forward_of = loss_of, forward_of
        pipeline.spans = []
        self.loss = torch.zeros((), dtype=pipeline.dtype, device=token_ids[0].device)
        self.held: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # what went into a stage, what came out
        self.later: dict[tuple[int, int], LaterWork] = {}
        self.here: dict[tuple[Kind, int, int], Tensor] = {}  # results whose next stage is on this rank too
        self.coming: dict[Message, tuple[dist.Work, Tensor]] = {}
        self.going: dict[Message, tuple[dist.Work, Tensor]] = {}  # a tensor must live until it is sent
        self.unposted: dict[int, list[Message]] = {}
        for message in pipeline._messages:
            peer = message.target if message.source == pipeline.rank else message.source
            self.unposted.setdefault(peer, []).append(message)

    def run(self, action: Action) -> None:
        """Do one action of the list."""
        kind, stage, microbatch = action
        if kind is Kind.FORWARD:
            self.forward(stage, microbatch)
        elif kind is Kind.BACKWARD_WEIGHT:
            for work in self.later.pop((stage, microbatch)):
                work()
        else:
            self.backward(stage, microbatch, whole=kind is Kind.BACKWARD)

    def forward(self, stage: int, microbatch: int) -> None:
        piece = self.pipeline.stages[stage]
        if piece.is_first:
            features = self.token_ids[microbatch]
        else:
            features = self.take(Kind.FORWARD, stage - 1, stage, microbatch).requires_grad_()
        output = self.forward_of(piece, features)
        if piece.is_last:
            output = self.loss_of(output, self.targets[microbatch]) / len(self.targets)
            self.loss += output.detach()
        self.held[stage, microbatch] = features, output
        if not piece.is_last:
            self.give(Kind.FORWARD, stage, stage + 1, microbatch, output.detach())

    def backward(self, stage: int, microbatch: int, *, whole: bool) -> None:
        piece = self.pipeline.stages[stage]
        gradient = None if piece.is_last else self.take(Kind.BACKWARD, stage + 1, stage, microbatch)
        features, output = self.held.pop((stage, microbatch))
        if whole:
            output.backward(gradient)
        else:
            with self.pipeline._weight_gradients.put_off() as later:
                output.backward(gradient)
            self.later[stage, microbatch] = later
        if not piece.is_first:
            assert features.grad is not None
            self.give(Kind.BACKWARD, stage, stage - 1, microbatch, features.grad)

    def give(self, kind: Kind, stage: int, after: int, microbatch: int, result: Tensor) -> None:
        """Hand a result to the rank that runs the stage after it."""
        rank, target = self.pipeline.rank, self.pipeline._rank_of[after, microbatch]
        if target == rank:
            self.here[kind, stage, microbatch] = result
            return
        self.post(target, Message(kind, stage, microbatch, rank, target), result)

    def take(self, kind: Kind, stage: int, after: int, microbatch: int) -> Tensor:
        """The result of another stage, waited for when it is still on its way."""
        rank, source = self.pipeline.rank, self.pipeline._rank_of[stage, microbatch]
        if source == rank:
            return self.here.pop((kind, stage, microbatch))
        message = Message(kind, stage, microbatch, source, rank)
        if message not in self.coming:
            self.post(source, message)
        work, buffer = self.coming.pop(message)
        work.wait()
        for sent in self.pipeline._acknowledged[message]:
            self.going.pop(sent)[0].wait()
        return buffer

    def look_ahead(self) -> None:
        """Post the next receive from every peer, where none is under way and no send of our own comes first."""
        expected = {message.source for message in self.coming}
        for peer, unposted in self.unposted.items():
            if unposted and unposted[0].source == peer and peer not in expected:
                self.post(peer, unposted[0])

    def post(self, peer: int, message: Message, result: Tensor | None = None) -> None:
        """Post all receives from a peer up to this message, and the message itself."""
        while True:
            following = self.unposted[peer].pop(0)
            if following.source == self.pipeline.rank:
                # A send comes to be before anything that is posted after it, so it is this one.
                assert following == message, f"{following} was not sent before {message}"
                assert result is not None
                result = result.contiguous()
                self.going[message] = _started(dist.isend(result, peer)), result
            else:
                batch, seq = self.token_ids[0].shape
                shape, device = (batch, seq, self.pipeline.width), self.token_ids[0].device
                buffer = torch.empty(shape, dtype=self.pipeline.dtype, device=device)
                self.coming[following] = _started(dist.irecv(buffer, peer)), buffer
            if following == message:
                return

    def wait_for_sends(self) -> None:
        """The end of the step: nothing is on its way any more."""
        for work, _ in self.going.values():
            work.wait()


def _started(work: dist.Work | None) -> dist.Work:
    assert work is not None, "this rank belongs to the group"
    return work
