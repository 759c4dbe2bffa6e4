"""Data parallelism that sends while it computes: gradients leave from inside the backward pass.

The gradient of the last layer is ready when backward has hardly begun, so it can travel while the rest is computed.
`OverlappedDDP` sends each parameter's gradient as soon as it is there. `BucketedDDP` waits until a bucket of them is
full: fewer, larger messages, so less latency, and still nearly all of it hidden.

The one difficulty is order. A collective pairs the n-th call of each rank with the n-th of all others, whatever it
carries, so all ranks must send in the same order, also when a rank's batch did not use some layer and its gradient
never comes. So the order is fixed beforehand: from the last parameter to the first, as backward usually makes them. A
bucket leaves when it is ready *and* all before it have left; whatever still waits at the end leaves then, with zeros
for what is missing. A last small message says who had a gradient, so that what nobody used keeps None.

Source: [pytorch-ddp-2020] sections 3.2 and 4.2.
Differs: torch's class learns the order from the first backward pass; here it is always the reverse of the module's.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from a2_systems.parallel.ddp_naive import flattened, gradient_or_zeros, unflatten
from a2_systems.parallel.replicas import Replica, presence

BYTES_PER_MB = 2**20


class BucketedDDP(Replica):
    """Gradients leave in buckets of at most `bucket_size_mb` (MiB), each as soon as it is full of gradients.

    Raises:
        ValueError: a bucket size that is not positive.
        RuntimeError: a second backward pass, with no forward pass in between, while gradients are under way.
    """

    def __init__(
        self, module: nn.Module, bucket_size_mb: float, group: dist.ProcessGroup | None = None
    ) -> None:
        if not bucket_size_mb > 0:
            raise ValueError(f"bucket_size_mb={bucket_size_mb} must be positive")
        super().__init__(module, group)
        self.buckets = buckets_of(reversed(self.trained), bucket_size_mb * BYTES_PER_MB)
        self._bucket_of = {id(p): index for index, bucket in enumerate(self.buckets) for p in bucket}
        self._missing = self._nothing_has_come()
        self._is_unfinished = False  # a forward pass was made whose gradients are to be sent
        self._under_way: list[tuple[Tensor, Any]] = []  # of the buckets that have left, in order
        for parameter in self.trained:
            parameter.register_post_accumulate_grad_hook(self._gradient_is_there)

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """The module's own forward pass. If the last training step was not finished, its gradients arrive first.

        Whether it was is told by forward passes, of which all ranks make as many, and not by gradients: a rank whose
        batch used no parameter has none, and would let the others wait.
        """
        if self.training and torch.is_grad_enabled():
            if self._is_unfinished:
                self._average_gradients()
            self._is_unfinished = not self.is_accumulating
        return super().forward(*inputs, **keywords)

    def _gradient_is_there(self, parameter: Tensor) -> None:
        """Called inside backward, when all of a parameter's uses have added to its gradient."""
        index = self._bucket_of[id(parameter)]
        if index < len(self._under_way):
            raise RuntimeError(
                "a gradient was added to while it was on its way to the other ranks: two backward passes with no "
                "forward pass in between; use no_sync() around all but the last, or finish_gradient_synchronization()"
            )
        if self.is_accumulating:
            return
        self._missing[index].discard(id(parameter))
        while len(self._under_way) < len(self.buckets) and not self._missing[len(self._under_way)]:
            self._send_next()

    def _send_next(self) -> None:
        self._note_sent()
        message = self._message(self.buckets[len(self._under_way)])
        self._under_way.append((message, dist.all_reduce(message, group=self.group, async_op=True)))

    @torch.no_grad()
    def _average_gradients(self) -> None:
        while len(self._under_way) < len(self.buckets):
            self._send_next()
        is_somewhere = presence(self.trained)
        agreement = dist.all_reduce(is_somewhere, dist.ReduceOp.MAX, group=self.group, async_op=True)
        is_complete = all(parameter.grad is not None for parameter in self.trained)
        for bucket, (message, work) in zip(self.buckets, self._under_way, strict=True):
            work.wait()
            self._arrived(message.div_(self.ranks), bucket)
        assert agreement is not None  # async_op=True
        agreement.wait()
        if not is_complete:  # only then: reading a tensor makes the CPU wait for a GPU
            for parameter, is_used in zip(self.trained, is_somewhere.tolist(), strict=True):
                parameter.grad = parameter.grad if is_used else None
        self._missing = self._nothing_has_come()
        self._is_unfinished = False
        self._under_way = []

    def _nothing_has_come(self) -> list[set[int]]:
        return [{id(parameter) for parameter in bucket} for bucket in self.buckets]

    def _message(self, bucket: list[nn.Parameter]) -> Tensor:
        return flattened(bucket)

    def _arrived(self, message: Tensor, bucket: list[nn.Parameter]) -> None:
        unflatten(message, bucket)


class OverlappedDDP(BucketedDDP):
    """One message for each parameter: buckets of one, so that the gradient itself can travel and nothing is copied."""

    def __init__(self, module: nn.Module, group: dist.ProcessGroup | None = None) -> None:
        smallest = 1 / BYTES_PER_MB  # a byte: no two parameters fit in
        super().__init__(module, smallest, group)

    def _message(self, bucket: list[nn.Parameter]) -> Tensor:
        return gradient_or_zeros(bucket[0]).contiguous()

    def _arrived(self, message: Tensor, bucket: list[nn.Parameter]) -> None:
        bucket[0].grad = message


def buckets_of(parameters: Iterable[nn.Parameter], bucket_bytes: float) -> list[list[nn.Parameter]]:
    """Parameters in the order given, cut where the next one would not fit, or is of another dtype or device.

    A parameter larger than a bucket has one for itself.
    """
    buckets: list[list[nn.Parameter]] = []
    filled = 0.0
    for parameter in parameters:
        size = parameter.numel() * parameter.element_size()
        kind = (parameter.dtype, parameter.device)
        is_same = bool(buckets) and kind == (buckets[-1][0].dtype, buckets[-1][0].device)
        if not is_same or filled + size > bucket_bytes:
            buckets.append([])
            filled = 0.0
        buckets[-1].append(parameter)
        filled += size
    return buckets
