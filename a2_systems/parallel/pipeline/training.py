"""A pipeline as a way to train: each rank holds its stages and their optimizer state, and all run one schedule."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn, optim

from a2_systems.parallel.pipeline.runtime import Pipeline
from a2_systems.parallel.pipeline.schedules import schedule_named
from a2_systems.parallel.sharded_optimizer import constructor_settings, gathered
from shared.doors.protocols import Attend
from shared.doors.systems import Forward, LossOf, Spread
from shared.errors import ConfigError


class Pipelined(Spread):
    """Blocks cut into stages; all ranks are given the same batch, whose microbatches go from stage to stage.

    Raises:
        ConfigError, ScheduleError: a model that cannot be cut into so many stages, or a schedule that cannot be had for
            so many ranks and microbatches.
    """

    def __init__(
        self, model: nn.Module, optimizer: optim.Optimizer, schedule: str, num_microbatches: int
    ) -> None:
        self._pipeline = Pipeline(model, schedule_named(schedule, dist.get_world_size(), num_microbatches))
        for tensor in chain(model.parameters(), model.buffers()):
            dist.broadcast(tensor.data, src=0)
        self.model = StagesOfRank(model, self._pipeline)
        self._mine = dict(self._pipeline.named_parameters())
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._aliases = {
            name: names[id(parameter)] for name, parameter in model.named_parameters(remove_duplicate=False)
        }
        self._buffers = {k: value for k, value in model.state_dict().items() if k not in self._aliases}
        self._names = [
            [names[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups
        ]
        groups = [
            {**group, "params": [self._mine[name] for name in listed if name in self._mine]}
            for group, listed in zip(optimizer.param_groups, self._names, strict=True)
        ]
        self.optimizer = type(optimizer)(groups, **constructor_settings(optimizer))

    @property
    def batch_multiple(self) -> int:
        return self._pipeline.schedule.num_microbatches

    def forward_backward(
        self,
        inputs: Int[Tensor, "batch seq"],
        targets: Int[Tensor, "batch seq"],
        forward: Forward,
        loss_of: LossOf,
    ) -> Float[Tensor, ""]:
        return self._pipeline.step(inputs, targets, loss_of, forward)

    @torch.no_grad()
    def clip(self, max_norm: float) -> float:
        """Squares are added up over the ranks; what several hold is counted by the lowest of them.

        Source: [clip-2013] algorithm 1.
        """
        squares = torch.zeros((), device=next(iter(self._mine.values())).device)
        for name, parameter in self._mine.items():
            if parameter.grad is not None and self._pipeline.shared.holders[name][0] == self._pipeline.rank:
                squares += parameter.grad.float().square().sum()
        dist.all_reduce(squares)
        norm = squares.sqrt()
        scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        for parameter in self._mine.values():
            if parameter.grad is not None:
                parameter.grad.mul_(scale.to(parameter.grad.dtype))
        return float(norm)

    def weights(self) -> dict[str, Tensor]:
        full = self._pipeline.full_parameters()
        return {name: full[first] for name, first in self._aliases.items()} | self._buffers

    def optimizer_state(self) -> dict[str, Any]:
        whole, own = self._indices(all_of_them=True), list(self._indices())
        saved = self.optimizer.state_dict()
        mine = {whole[own[index]]: entries for index, entries in saved["state"].items()}
        state = {index: entries for part in gathered(mine) for index, entries in part.items()}
        groups = [
            {**group, "params": [whole[name] for name in listed]}
            for group, listed in zip(saved["param_groups"], self._names, strict=True)
        ]
        return {**saved, "state": dict(sorted(state.items())), "param_groups": groups}

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Any]) -> None:
        """This rank's part of both.

        Raises:
            ConfigError: weights of another model.
        """
        if missing := sorted(self._aliases.keys() - weights.keys()):
            raise ConfigError(f"these weights are another model's: {', '.join(missing)} missing")
        for name, parameter in self._mine.items():
            parameter.copy_(weights[name])
        for name, buffer in self._buffers.items():
            buffer.copy_(weights[name])
        whole, own = self._indices(all_of_them=True), self._indices()
        given = optimizer_state["state"]
        state = {index: given[whole[name]] for name, index in own.items() if whole[name] in given}
        groups = [
            {**group, "params": [own[name] for name in listed if name in own]}
            for group, listed in zip(optimizer_state["param_groups"], self._names, strict=True)
        ]
        self.optimizer.load_state_dict({**optimizer_state, "state": state, "param_groups": groups})

    @property
    def exposed_seconds(self) -> float | None:
        return None  # a rank waits for its neighbours, not for gradients

    def _indices(self, *, all_of_them: bool = False) -> dict[str, int]:
        """By which number a state_dict calls a parameter: this rank's optimizer's, or one for the whole model."""
        names = [name for name in chain.from_iterable(self._names) if all_of_them or name in self._mine]
        return {name: index for index, name in enumerate(names)}


class StagesOfRank(nn.Module):
    """This rank's stages; called on all ranks they give the whole model's logits, for evaluation, without gradients."""

    def __init__(self, model: nn.Module, pipeline: Pipeline) -> None:
        super().__init__()
        self.stages = nn.ModuleDict({str(stage): piece for stage, piece in pipeline.stages.items()})
        self._pipeline = pipeline
        head = getattr(model, "lm_head", None) or model.get_submodule("token_embeddings")
        self._vocab_size = head.get_parameter("weight").shape[0]

    @torch.no_grad()
    def forward(
        self, token_ids: Int[Tensor, "batch seq"], attend: Attend | None = None
    ) -> Float[Tensor, "batch seq vocab"]:
        """From stage to stage, and from the last one to all."""
        rank, dtype, device = self._pipeline.rank, self._pipeline.dtype, token_ids.device
        holders = self._pipeline.schedule.rank_of()
        num_stages = self._pipeline.schedule.num_stages
        features = token_ids
        for stage in range(num_stages):
            before, holder = holders[max(stage - 1, 0), 0], holders[stage, 0]
            if rank == before != holder:
                dist.send(features, holder)
            if rank == holder != before:
                features = torch.empty(*token_ids.shape, self._pipeline.width, dtype=dtype, device=device)
                dist.recv(features, before)
            if rank == holder:
                features = self.stages[str(stage)](features, attend).to(dtype).contiguous()
        last = holders[num_stages - 1, 0]
        shape = (*token_ids.shape, self._vocab_size)
        logits = features if rank == last else torch.empty(shape, dtype=dtype, device=device)
        dist.broadcast(logits, src=last)
        return logits
