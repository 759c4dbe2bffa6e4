"""A model and its optimizer spread over the ranks, behind one interface: the hook `parallelize` of the stage's door.

    spread = parallelize(model, AdamW(model.parameters()), Strategy("fsdp"))
    loss = spread.forward_backward(inputs, targets, forward, loss_of)  # of a batch that all ranks were given
    norm = spread.clip(1.0)
    spread.optimizer.step()

Whatever the strategy, k steps on N ranks are k steps on one over the joined batch, up to the order in which numbers are
added. `weights` and `optimizer_state` are whole, as one device would have them: a run saved on four ranks goes on, on
three or on one.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn, optim

from a2_systems.parallel.ddp import BucketedDDP, OverlappedDDP
from a2_systems.parallel.ddp_naive import FlatDDP, NaiveDDP
from a2_systems.parallel.fsdp import FSDP
from a2_systems.parallel.one_rank import OnOneRank
from a2_systems.parallel.pipeline.training import Pipelined
from a2_systems.parallel.replicas import Replica
from a2_systems.parallel.sharded_optimizer import ShardedOptimizer, constructor_settings
from a2_systems.parallel.tensor_split import TensorSplit
from a2_systems.parallel.vocab_parallel import TensorParallelLM
from shared.doors.systems import Spread, Strategy
from shared.errors import ConfigError
from shared.runs.ranks import current


class Replicated(OnOneRank):
    """Every rank holds the model, and the optimizer state of all of it or, sharded, of its share."""

    def __init__(self, model: Replica, optimizer: optim.Optimizer, microbatches: int) -> None:
        super().__init__(model, optimizer, microbatches, is_shared_out=True)
        self._replica = model

    def accumulating(self, is_partial: bool) -> AbstractContextManager[None]:
        return self._replica.no_sync() if is_partial else nullcontext()

    def finish_backward(self) -> None:
        self._replica.finish_gradient_synchronization()  # the same on all ranks now, and so is their norm

    def weights(self) -> dict[str, Tensor]:
        return dict(self._replica.module.state_dict())

    def optimizer_state(self) -> dict[str, Any]:
        if isinstance(self.optimizer, ShardedOptimizer):
            return self.optimizer.full_state_dict()
        return self.optimizer.state_dict()

    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Any]) -> None:
        self._replica.module.load_state_dict(dict(weights))
        self.optimizer.load_state_dict(dict(optimizer_state))

    @property
    def exposed_seconds(self) -> float | None:
        return self._replica.exposed_seconds


class FullySharded(OnOneRank):
    """Every rank holds its rows of each matrix, and the optimizer state of these."""

    # Microbatches need no care: whole gradients are not kept, and what adds up is the shards'.

    def __init__(self, model: FSDP, optimizer: optim.Optimizer, microbatches: int) -> None:
        super().__init__(model, optimizer, microbatches, is_shared_out=True)
        self._fsdp = model

    def finish_backward(self) -> None:
        self._fsdp.finish_gradient_synchronization()

    def clip(self, max_norm: float) -> float:
        return float(self._fsdp.clip_gradients(max_norm))

    def weights(self) -> dict[str, Tensor]:
        full: dict[str, Tensor] = {}
        first_name: dict[int, str] = {}
        for name, parameter in self._fsdp.module.named_parameters(remove_duplicate=False):
            first = first_name.setdefault(id(parameter), name)  # a tied one has several names
            if first == name:
                self._keep(full, name, self._fsdp.full_parameter(name))
            elif current().is_lead:
                full[name] = full[first]
        if not current().is_lead:
            return {}
        buffers = {k: value for k, value in self._fsdp.module.state_dict().items() if k not in full}
        return full | buffers

    def optimizer_state(self) -> dict[str, Any]:
        saved = self.optimizer.state_dict()
        state: dict[int, dict[str, Any]] = {index: {} for index in saved["state"]}
        for index, entries in saved["state"].items():
            for key, value in entries.items():
                if isinstance(value, Tensor) and value.ndim == 2:
                    self._keep(state[index], key, self._fsdp.full_like(self._parameter(index), value))
                else:
                    self._keep(state[index], key, value)
        return {**saved, "state": state} if current().is_lead else {}

    def load(self, weights: Mapping[str, Tensor], optimizer_state: Mapping[str, Any]) -> None:
        names = self._names()
        self._fsdp.load_full_parameters({name: w for name, w in weights.items() if name in names})
        state = {
            index: {
                key: self._fsdp.shard_like(self._parameter(index), value)
                if isinstance(value, Tensor) and value.ndim == 2
                else value
                for key, value in entries.items()
            }
            for index, entries in optimizer_state["state"].items()
        }
        self.optimizer.load_state_dict({**optimizer_state, "state": state})

    @property
    def exposed_seconds(self) -> float | None:
        return self._fsdp.exposed_seconds

    @staticmethod
    def _keep(found: dict[str, Any], key: str, whole: Any) -> None:
        """On rank 0, on the CPU; elsewhere it is dropped before the next one is gathered."""
        if current().is_lead:
            found[key] = whole.cpu() if isinstance(whole, Tensor) else whole

    def _names(self) -> set[str]:
        return {name for name, _ in self._fsdp.module.named_parameters(remove_duplicate=False)}

    def _parameter(self, index: int) -> nn.Parameter:
        """The parameter that a state_dict calls by this number."""
        return list(chain.from_iterable(group["params"] for group in self.optimizer.param_groups))[index]


def parallelize(model: nn.Module, optimizer: optim.Optimizer, strategy: Strategy) -> Spread:
    """Spread a model over the ranks of the process group, rank 0's weights being everyone's to begin with.

    The optimizer, built on the model's parameters, has done no step yet: where the parameters are exchanged for
    shards, or its state is to be shared, one of its class and settings takes its place. A process without a group
    trains alone, whatever the strategy.

    Raises:
        ConfigError: the optimizer has done steps, whose state would be lost; or `single` on several ranks.
    """
    if optimizer.state:
        raise ConfigError(
            "this optimizer has done steps already; spread the model first, then load the state to go on from"
        )
    pieces = strategy.microbatches
    ranks = current()
    if strategy.name == "single" and ranks.num_ranks > 1:
        raise ConfigError(
            f"strategy single trains one model on one rank; {ranks.num_ranks} ranks would train as many different "
            "ones. Use --strategy bucketed or another, or start one process: --launch local"
        )
    if strategy.name != "single" and not dist.is_initialized():
        print(f"one process alone: there is nothing to spread, strategy {strategy.name} trains as single")
        return OnOneRank(model, optimizer, pieces)
    match strategy.name:
        case "single":
            return OnOneRank(model, optimizer, pieces)
        case "naive":
            return Replicated(NaiveDDP(model), optimizer, pieces)
        case "flat":
            return Replicated(FlatDDP(model), optimizer, pieces)
        case "overlap":
            return Replicated(OverlappedDDP(model), optimizer, pieces)
        case "bucketed":
            return Replicated(BucketedDDP(model, strategy.bucket_size_mb), optimizer, pieces)
        case "zero1":
            sharded = ShardedOptimizer(_groups(optimizer), type(optimizer), **constructor_settings(optimizer))
            return Replicated(BucketedDDP(model, strategy.bucket_size_mb), sharded, pieces)
        case "fsdp":
            name_of = {id(parameter): name for name, parameter in model.named_parameters()}
            fsdp = FSDP(model, {"float32": None, "bfloat16": torch.bfloat16}[strategy.compute_dtype])
            shards = dict(model.named_parameters())
            groups = [
                {**group, "params": [shards[name_of[id(parameter)]] for parameter in group["params"]]}
                for group in _groups(optimizer)
            ]
            return FullySharded(fsdp, type(optimizer)(groups, **constructor_settings(optimizer)), pieces)
        case "tensor":
            return TensorSplit(TensorParallelLM(model), optimizer, pieces)
        case "pipeline":
            return Pipelined(model, optimizer, strategy.schedule, pieces)


def _groups(optimizer: optim.Optimizer) -> list[dict[str, Any]]:
    """Its parameters with their settings, for another optimizer of the same class."""
    return [{**group, "params": list(group["params"])} for group in optimizer.param_groups]
