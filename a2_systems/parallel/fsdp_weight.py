"""One matrix spread over the ranks by rows: its shard, always there, and the whole of it, there while it is used.

The whole matrix is one tensor for all time, so that autograd may keep it between forward and backward pass; what comes
and goes is the memory behind it.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from a2_systems.parallel.replicas import Mark, noted
from a2_systems.parallel.whole_tensors import all_gather, reduce_scatter

DESCRIBES = {
    getattr(Tensor, name).__get__
    for name in ("shape", "dtype", "device", "ndim", "layout", "nbytes", "requires_grad", "is_leaf", "grad")
} | {
    *(Tensor.size, Tensor.dim, Tensor.numel, Tensor.stride, Tensor.storage_offset, Tensor.element_size),
    *(Tensor.is_floating_point, Tensor.is_complex, Tensor.is_contiguous),
    *(Tensor.untyped_storage, Tensor.data_ptr),
}
"""What may be asked of a tensor whose numbers are not there."""


class Whole(nn.Parameter):
    """The whole matrix, as layers see it: says so when it is used while its memory may be gone."""

    before_use: Callable[[], None]

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in DESCRIBES:
            for value in (*args, *kwargs.values()):
                for member in value if isinstance(value, (list, tuple)) else (value,):
                    if isinstance(member, Whole):
                        member.before_use()
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)


class ShardedWeight:
    """Rank r keeps rows r c to (r + 1) c, where c = ceil(rows / ranks): the last ranks have fewer rows, or none.

    Rows, not a flat piece: the shard stays a matrix for whoever decides by the number of dimensions what decays.
    Padded to c rows, the pieces of all ranks lie one behind the other as the whole matrix does, so nothing is copied
    after a gather. The shard is the master, in float32 at least; what travels before a layer runs is its copy in the
    layer's dtype. Gradients travel in the master's dtype: a sum over ranks in half precision loses what training
    lives on.

    Source: [zero-2020] section 5.3; the memory that comes and goes from [fsdp-2023] section 4.
    """

    def __init__(
        self,
        weight: Float[nn.Parameter, "rows columns"],
        places: list[tuple[nn.Module, str]],
        compute_dtype: torch.dtype | None,
        waits: list[tuple[Mark, Mark]],
    ) -> None:
        self.waits = waits  # of all weights together: when each wait for a message began and ended
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self.places = places  # every module that has this parameter, and under which name
        rows, columns = weight.shape
        self.rows_per_rank = -(-rows // self.ranks)
        mine = self.own_rows(weight.detach())
        master_dtype = torch.promote_types(weight.dtype, torch.float32)
        self.shard = nn.Parameter(mine.to(master_dtype).clone(), requires_grad=weight.requires_grad)
        self.padded_whole = torch.empty(
            self.ranks * self.rows_per_rank,
            columns,
            dtype=compute_dtype or weight.dtype,
            device=weight.device,
        )
        # `.data` counts its versions apart: to autograd, memory that comes back with the same numbers has not changed.
        self.whole = Whole(self.padded_whole.data[:rows], requires_grad=weight.requires_grad)
        self.is_whole = False  # or on its way
        self.is_needed = False  # by a backward pass that has reached it
        self.is_lent = False  # to its own layer, which is running
        self.used_outside = False  # by another module than its own, in this forward pass
        self._gathering: tuple[dist.Work, Tensor] | None = None
        self._reducing: tuple[dist.Work, Tensor, Tensor] | None = None
        self.free()
        self.show(self.shard)

    def show(self, parameter: nn.Parameter) -> None:
        """Let every module that has this weight see the shard, or the whole."""
        for module, name in self.places:
            module._parameters[name] = parameter

    def start_gather(self) -> None:
        """Ask all ranks for their rows, unless that is done; the memory is taken now."""
        if self.is_whole:
            return
        self.padded_whole.untyped_storage().resize_(self.padded_whole.nbytes)
        sent = self._padded(self.shard.detach(), self.rows_per_rank, self.padded_whole.dtype)
        work = all_gather(self.padded_whole, sent, async_op=True)
        assert work is not None  # async_op=True
        self._gathering, self.is_whole = (work, sent), True

    def gather(self) -> None:
        """The whole matrix is there when this returns (on a GPU: for what is queued afterwards)."""
        self.start_gather()
        if self._gathering is not None:
            with noted(self.waits, [self.shard]):
                self._gathering[0].wait()
            self._gathering = None

    def free(self) -> None:
        """Give the whole matrix's memory back."""
        if self._gathering is not None:
            self.gather()
        self.padded_whole.untyped_storage().resize_(0)
        self.is_whole = self.is_needed = False

    def start_reduce(self) -> None:
        """Send the gradient of the whole matrix; each rank gets the sum of its own rows."""
        gradient, self.whole.grad = self.whole.grad, None
        assert gradient is not None  # called when it is complete
        self.settle()
        sent = self._padded(gradient, len(self.padded_whole), self.shard.dtype)
        received = sent.new_empty(self.rows_per_rank, sent.shape[1])
        work = reduce_scatter(received, sent, async_op=True)
        assert work is not None  # async_op=True
        self._reducing = (work, received, sent)

    def settle(self) -> None:
        """Wait for the gradient that is on its way, and add its mean to the shard's."""
        if self._reducing is None:
            return
        work, received, _ = self._reducing
        with noted(self.waits, [self.shard]):
            work.wait()
        self._reducing = None
        mean = received.div_(self.ranks)
        if len(self.shard) < self.rows_per_rank:
            mean = mean[: len(self.shard)].clone()  # a view would keep the padding alive
        if self.shard.grad is None:
            self.shard.grad = mean
        else:
            self.shard.grad += mean

    def full(self, part: Float[Tensor, "own_rows columns"] | None = None) -> Float[Tensor, "rows columns"]:
        """A copy of the whole master, or of what every rank keeps a `part` of as it does of the master."""
        part = self.shard.detach() if part is None else part
        rows, columns = self.whole.shape
        everyone = part.new_empty(self.ranks * self.rows_per_rank, columns)
        all_gather(everyone, self._padded(part, self.rows_per_rank, part.dtype))
        return everyone[:rows].clone()

    def own_rows(self, full: Float[Tensor, "rows columns"]) -> Float[Tensor, "own_rows columns"]:
        """This rank's rows of a whole matrix."""
        return full[self.rank * self.rows_per_rank :][: self.rows_per_rank]

    @staticmethod
    def _padded(matrix: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
        """The matrix in this dtype with rows of zeros at its end: itself where nothing is to be done."""
        if len(matrix) == rows:
            return matrix.to(dtype).contiguous()
        padded = matrix.new_zeros(rows, matrix.shape[1], dtype=dtype)
        padded[: len(matrix)] = matrix
        return padded
