"""What every data-parallel wrapper shares: the same weights on every rank to begin with, and agreement afterwards.

Each rank holds the whole model and computes gradients on its own part of the batch. When the loss is a mean over
equally large parts, the mean of the ranks' gradients is the gradient of the whole batch, so equal weights stay equal.
How gradients travel is the subclasses' affair, from the plainest on: `NaiveDDP`, `FlatDDP` (ddp_naive.py),
`OverlappedDDP`, `BucketedDDP` (ddp.py).

    model = NaiveDDP(model)
    with model.no_sync():                      # gradients add up here, and nothing is sent
        model(first).backward()
    model(second).backward()
    model.finish_gradient_synchronization()    # now .grad is the mean over ranks of what has been added up
    optimizer.step()

The laws, for all four: after `finish_gradient_synchronization`, `.grad` of every parameter is the mean over the ranks
of what each had accumulated in it since it was last zeroed; a parameter without a gradient counts as zeros where
another rank has one, and keeps None where nobody has one, so that optimizers leave it alone as they do on one device.
What is a mean already stays what it is: averaging it again changes nothing.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

Mark = float | torch.cuda.Event


class Replica(nn.Module, ABC):
    """A module of which every rank of `group` holds a copy; parameters and buffers begin as those of its first rank.

    Raises:
        RuntimeError: at the end of a step, when a parameter wants a gradient that was frozen when it was wrapped.
    """

    def __init__(self, module: nn.Module, group: dist.ProcessGroup | None = None) -> None:
        super().__init__()
        self.module = module
        self.group = group
        self.ranks = dist.get_world_size(group)
        self.trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.is_accumulating = False
        self._marks: tuple[Mark, Mark, Mark] | None = None
        self._first_sent: Mark | None = None
        persistent = module.state_dict(keep_vars=True).values()
        self._state_buffers = [b for b in module.buffers() if any(b is kept for kept in persistent)]
        self._broadcast([*module.parameters(), *module.buffers()])

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """The module's own forward pass."""
        return self.module(*inputs, **keywords)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Backward passes in here add to `.grad` and send nothing; the first one after sends all that has added up."""
        before, self.is_accumulating = self.is_accumulating, True
        try:
            yield
        finally:
            self.is_accumulating = before

    def finish_gradient_synchronization(self) -> None:
        """Between backward and step, on every rank: afterwards gradients and buffers are the same everywhere."""
        if self.is_accumulating:
            return
        self._refuse_thawed()
        began = mark(self.trained)
        self._average_gradients()
        self._broadcast(self._state_buffers)
        self._marks = (began if self._first_sent is None else self._first_sent, began, mark(self.trained))
        self._first_sent = None

    @abstractmethod
    def _average_gradients(self) -> None:
        """Leave the mean over the ranks in every `.grad`."""

    @property
    def exposed_seconds(self) -> float:
        """How long the last step waited for gradients with nothing else to do; on a GPU, how long its stream did."""
        return 0.0 if self._marks is None else seconds_between(self._marks[1], self._marks[2])

    @property
    def communication_seconds(self) -> float:
        """From the first gradient of the last step leaving to the last one's arrival, hidden or not."""
        return 0.0 if self._marks is None else seconds_between(self._marks[0], self._marks[2])

    def _note_sent(self) -> None:
        if self._first_sent is None:
            self._first_sent = mark(self.trained)

    def _broadcast(self, tensors: list[Tensor]) -> None:
        for tensor in tensors:
            broadcast(tensor, self.group)

    def _refuse_thawed(self) -> None:
        known = {id(parameter) for parameter in self.trained}
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad and id(parameter) not in known:
                raise RuntimeError(
                    f"{name} wants gradients and was frozen when the module was wrapped, so its gradient would differ "
                    "between ranks; wrap the module again after thawing it"
                )


@torch.no_grad()
def broadcast(tensor: Tensor, group: dist.ProcessGroup | None = None) -> None:
    """Everyone's becomes the first rank's. It travels as bytes: no backend knows every dtype that a buffer may have."""
    message = tensor.detach().contiguous()
    dist.broadcast(message.reshape(-1).view(torch.uint8), group=group, group_src=0)
    if message.data_ptr() != tensor.data_ptr():
        tensor.copy_(message)


def presence(parameters: list[nn.Parameter]) -> Tensor:
    """One byte for each parameter: whether this rank has a gradient for it."""
    has = [parameter.grad is not None for parameter in parameters]
    return torch.tensor(has, dtype=torch.uint8, device=parameters[0].device if parameters else "cpu")


def mark(parameters: list[nn.Parameter]) -> Mark:
    """A moment: of the clock, or on a GPU in the stream that computes, which is not stopped for it."""
    if parameters and parameters[0].is_cuda:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
    return time.perf_counter()


@contextmanager
def noted(waits: list[tuple[Mark, Mark]], parameters: list[nn.Parameter]) -> Iterator[None]:
    """Add to `waits` when the block began and when it ended."""
    began = mark(parameters)
    yield
    waits.append((began, mark(parameters)))


def seconds_between(first: Mark, last: Mark) -> float:
    """Seconds from one mark to another; waits for the later one on a GPU."""
    if isinstance(first, torch.cuda.Event) and isinstance(last, torch.cuda.Event):
        last.synchronize()
        return first.elapsed_time(last) / 1e3
    if isinstance(first, float) and isinstance(last, float):
        return last - first
    raise TypeError("marks of a CPU and of a GPU cannot be compared")
