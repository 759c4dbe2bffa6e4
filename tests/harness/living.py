"""How much memory tensors take, those included that nobody but autograd holds.

Python's garbage collector sees tensors with a Python object; what a graph saved for its backward pass has none.
"""

from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Living(TorchDispatchMode):
    """Follows the memory of every tensor that is made while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        # By address, which a weak reference keeps from being used again.
        self._storages: dict[int, StorageWeakRef] = {}

    def bytes(self) -> int:
        """What they take now; memory given back by `resize_(0)` counts as none."""
        total = 0
        for key, reference in list(self._storages.items()):
            storage = torch.UntypedStorage._new_with_weak_ptr(reference.cdata)
            if storage is None:
                del self._storages[key]
            else:
                total += storage.nbytes()
        return total

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs, result)):
            if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
                reference = StorageWeakRef(tensor.untyped_storage())
                self._storages.setdefault(reference.cdata, reference)
        return result
