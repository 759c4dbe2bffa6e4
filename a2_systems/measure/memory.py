"""Who holds memory, and when: bytes by category on any device, counted as tensors come and go.

A CUDA allocator can be asked what it holds. On a CPU nobody counts, so we do: `LiveMemory` sees every tensor that an
operation makes and hears when its storage is freed, and `KeptBytes` sees what autograd keeps for the backward pass.
Both count storages, not tensors: a view takes nothing. They count the same bytes on every device, so what is proven
on a CPU holds on a GPU, up to the allocator's rounding and the scratch space inside kernels.
"""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shared import accounting
from shared.doors.protocols import ModelConfig

PARAMETERS, GRADIENTS, OPTIMIZER, ACTIVATIONS = "parameters", "gradients", "optimizer", "activations"
CATEGORIES = (PARAMETERS, GRADIENTS, OPTIMIZER, ACTIVATIONS)
SNAPSHOT_ENTRIES = 1_000_000  # of the allocator's history: enough for a few steps of a large model


def predicted_bytes(config: ModelConfig, batch_size: int, seq: int, dtype: torch.dtype) -> dict[str, int]:
    """Bytes by category when the forward pass has ended, with AdamW: weights once, moments twice, all in float32.

    `dtype` is that of matrix products: float32, or bfloat16 under autocast, which changes what is kept for the backward
    pass and nothing else. At the optimizer's step activations are gone and gradients are there; at the end of the
    forward pass it is the other way round. The peak lies in between, early in the backward pass.
    """
    weights = accounting.BYTES_PER_FLOAT32 * accounting.parameters(config).total
    if dtype == torch.float32:
        kept = config.num_layers * accounting.block_kept_bytes(config, batch_size, seq)
        kept += accounting.ends_kept_bytes(config, batch_size, seq)
    else:
        kept = accounting.autocast_kept_bytes(config, batch_size, seq)
    return {PARAMETERS: weights, GRADIENTS: weights, OPTIMIZER: 2 * weights, ACTIVATIONS: kept}


class _Kept:
    """One tensor that autograd keeps; forgotten with the graph that holds it."""

    def __init__(self, tensor: Tensor, count: "KeptBytes") -> None:
        self.tensor, self.count = tensor, count
        count._keep(tensor)

    def __del__(self) -> None:
        self.count._drop(self.tensor)


class KeptBytes:
    """Bytes that autograd keeps for the backward pass, now and at most; the model's own parameters aside.

        with KeptBytes(model) as kept:
            model(token_ids).sum().backward()
        kept.peak_bytes

    Temporaries are not in it: it is exactly what a formula about saved tensors can say.
    """

    def __init__(self, model: nn.Module | None = None) -> None:
        owned = [*model.parameters(), *model.buffers()] if model is not None else []
        self._ignored = {tensor.untyped_storage().data_ptr() for tensor in owned}
        self._users: dict[int, int] = {}
        self.now_bytes = self.peak_bytes = 0
        self._hooks = saved_tensors_hooks(lambda tensor: _Kept(tensor, self), lambda kept: kept.tensor)

    def __enter__(self) -> "KeptBytes":
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    def _keep(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place in self._ignored:
            return
        self._users[place] = self._users.get(place, 0) + 1
        if self._users[place] == 1:
            self.now_bytes += storage.nbytes()
            self.peak_bytes = max(self.peak_bytes, self.now_bytes)

    def _drop(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place in self._ignored:
            return
        self._users[place] -= 1
        if not self._users[place]:
            del self._users[place]
            self.now_bytes -= storage.nbytes()


@dataclass
class LiveMemory(TorchDispatchMode):
    """Live bytes by category while it is entered, their timeline, and what they were made of at the peak.

    What exists beforehand is registered by `own`; gradients and optimizer state are told apart when `sort` looks at
    the model and the optimizer; everything else that an operation makes is an activation or a temporary.
    """

    timeline: list[tuple[str, int]] = field(default_factory=list)
    """Bytes held after each operation that changed them, with the phase in which it ran."""

    def __post_init__(self) -> None:
        super().__init__()
        self.phase = ""
        self.peak_bytes, self.at_peak = 0, dict.fromkeys(CATEGORIES, 0)
        self._now: dict[str, int] = dict.fromkeys(CATEGORIES, 0)
        self._known: dict[int, tuple[str, int]] = {}  # storage -> category, bytes
        self._resize = torch.UntypedStorage.resize_

    @property
    def now(self) -> dict[str, int]:
        """Bytes held now, by category."""
        return dict(self._now)

    def __enter__(self) -> "LiveMemory":
        # FSDP gives the memory behind a tensor back and takes it again. That is no operation: it is heard here.
        def resize_(storage: torch.UntypedStorage, size: int) -> torch.UntypedStorage:
            found = self._resize(storage, size)
            if storage._cdata in self._known:
                self._recount(storage._cdata, storage.nbytes())
            return found

        torch.UntypedStorage.resize_ = resize_  # type: ignore[method-assign]
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.UntypedStorage.resize_ = self._resize  # type: ignore[method-assign]

    def own(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Count what model and optimizer hold already, and gradients as they come."""
        for tensor in (*model.parameters(), *model.buffers()):
            self._count(tensor, PARAMETERS)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(lambda leaf: self._count(leaf.grad, GRADIENTS))
        self.sort(model, optimizer)

    def sort(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Put gradients and optimizer state, made meanwhile, into their categories."""
        for parameter in model.parameters():
            self._count(parameter.grad, GRADIENTS)
        for state in optimizer.state.values():
            for value in state.values():
                if isinstance(value, Tensor):
                    self._count(value, OPTIMIZER)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {
            leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)
        }
        for leaf in tree_leaves(result):
            # A view of what came from outside was not made here.
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in given | self._known.keys():
                self._count(leaf, ACTIVATIONS)
        return result

    def _count(self, tensor: Tensor | None, category: str) -> None:
        if tensor is None:
            return
        storage = tensor.untyped_storage()
        place, size = storage._cdata, storage.nbytes()
        old = self._known.get(place)
        if old == (category, size):
            return
        if old is not None:
            self._now[old[0]] -= old[1]
        else:
            weakref.finalize(storage, self._freed, place)
        self._known[place] = (category, size)
        self._now[category] += size
        self._note()

    def _recount(self, place: int, size: int) -> None:
        category, before = self._known[place]
        self._known[place] = (category, size)
        self._now[category] += size - before
        self._note()

    def _freed(self, place: int) -> None:
        category, size = self._known.pop(place)
        self._now[category] -= size
        self._note()

    def _note(self) -> None:
        total = sum(self._now.values())
        self.timeline.append((self.phase, total))
        if total > self.peak_bytes:
            self.peak_bytes, self.at_peak = total, dict(self._now)


@contextmanager
def peak_of_step(held: Iterable[Tensor], device: torch.device) -> Iterator[list[int]]:
    """The most bytes that this process holds on the device in the block, `held` from the start: there when it ends.

    On CUDA the allocator is asked; elsewhere tensors are counted, which makes the block slower.
    """
    found: list[int] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found.append(torch.cuda.max_memory_allocated(device))
        return
    with LiveMemory() as live:
        for tensor in held:
            live._count(tensor, PARAMETERS)
        yield found
    found.append(live.peak_bytes)


@contextmanager
def cuda_snapshot(path: Path) -> Iterator[None]:
    """Record every allocation and write them for torch's memory viewer; without CUDA nothing is written."""
    if not torch.cuda.is_available():
        yield
        return
    torch.cuda.memory._record_memory_history(max_entries=SNAPSHOT_ENTRIES)
    try:
        yield
    finally:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.cuda.memory._dump_snapshot(str(path))
        torch.cuda.memory._record_memory_history(enabled=None)
