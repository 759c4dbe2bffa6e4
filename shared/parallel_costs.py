"""What a layout over several devices sends, and how long that and the arithmetic take: by counting, not by running.

Collectives are rings: on N ranks an all-gather or a reduce-scatter passes on (N-1)/N of the whole, an all-reduce is one
after the other. The time is that of the bytes at the link's rate and, where a `Link` says so, of every message's start.

In the arithmetic problems one feed-forward stands for the model: three matrices between `d_model` and `d_ff`.
With `a = tokens W / C` and `b = 1.5 d_ff W / C`, W bytes and C FLOPs a second, all limits follow from these two.

Source: [thakur-2005] section 4 for rings; [megatron-2021] section 3.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """The way between two ranks: what a byte costs, and what a message costs however short it is."""

    bytes_per_second: float
    seconds_per_message: float = 0.0


def all_gather_bytes(whole_bytes: float, ranks: int) -> float:
    """What each rank sends for all to have the whole; a reduce-scatter sends as much.

    >>> all_gather_bytes(800, ranks=8)
    700.0
    """
    return whole_bytes * (ranks - 1) / ranks


def all_reduce_bytes(whole_bytes: float, ranks: int) -> float:
    """What each rank sends for all to have the sum: a reduce-scatter and an all-gather."""
    return 2 * all_gather_bytes(whole_bytes, ranks)


def all_gather_seconds(whole_bytes: float, ranks: int, link: Link) -> float:
    """The time of an all-gather or a reduce-scatter on a ring: N-1 messages, one after the other."""
    return (ranks - 1) * link.seconds_per_message + all_gather_bytes(
        whole_bytes, ranks
    ) / link.bytes_per_second


def all_reduce_seconds(whole_bytes: float, ranks: int, link: Link) -> float:
    """The time of an all-reduce on a ring."""
    return 2 * all_gather_seconds(whole_bytes, ranks, link)


@dataclass(frozen=True)
class FeedForwardCosts:
    """One SwiGLU feed-forward on `tokens` tokens over devices of `flops_per_second` that send `bytes_per_second`.

    A split over `ranks` that computes `c / ranks` seconds and sends `s (ranks - 1) / ranks` seconds is bound by its
    arithmetic as long as `ranks <= 1 + c / s`: these are the limits.
    """

    tokens: int
    d_model: int
    d_ff: int
    flops_per_second: float
    bytes_per_second: float
    bytes_per_number: int = 2

    @property
    def weight_bytes(self) -> int:
        """Bytes of the three matrices."""
        return 3 * self.d_model * self.d_ff * self.bytes_per_number

    @property
    def feature_bytes(self) -> int:
        """Bytes of what goes in, and of what comes out."""
        return self.tokens * self.d_model * self.bytes_per_number

    @property
    def a(self) -> float:
        """Seconds of arithmetic over seconds of sending weights."""
        return self.tokens * self.bytes_per_second / self.flops_per_second

    @property
    def b(self) -> float:
        """Seconds of arithmetic over seconds of sending features."""
        return 1.5 * self.d_ff * self.bytes_per_second / self.flops_per_second

    def forward_flops(self, ranks: int = 1) -> float:
        """FLOPs of each rank, whatever is split; a backward pass has twice as many."""
        return 6 * self.tokens * self.d_model * self.d_ff / ranks

    def seconds_of_flops(self, flops: float) -> float:
        """How long that is computed."""
        return flops / self.flops_per_second

    def data_parallel_seconds(self, ranks: int) -> float:
        """Sending in the backward pass: one all-reduce of the weights' gradients."""
        return all_reduce_bytes(self.weight_bytes, ranks) / self.bytes_per_second

    def fsdp_forward_seconds(self, ranks: int) -> float:
        """Sending in the forward pass: one all-gather of the weights."""
        return all_gather_bytes(self.weight_bytes, ranks) / self.bytes_per_second

    def fsdp_backward_seconds(self, ranks: int) -> float:
        """Sending in the backward pass: the all-gather again, and a reduce-scatter of the gradients."""
        return 2 * self.fsdp_forward_seconds(ranks)

    def tensor_parallel_seconds(self, ranks: int) -> float:
        """Sending in either pass: one all-reduce, of the result or of the input's gradient."""
        return all_reduce_bytes(self.feature_bytes, ranks) / self.bytes_per_second

    def data_parallel_limit(self) -> float:
        """Most ranks that the backward pass keeps busy; that of FSDP is the same, in both passes."""
        return 1 + self.a

    def tensor_parallel_limits(self) -> tuple[float, float]:
        """Most ranks that the forward and the backward pass keep busy."""
        return 1 + self.b, 1 + 2 * self.b

    def two_dimensional_seconds(self, fsdp_ranks: int, tensor_ranks: int) -> tuple[float, float]:
        """Sending in the forward pass on a grid: of weights along one side, of features along the other."""
        weights = all_gather_bytes(self.weight_bytes / tensor_ranks, fsdp_ranks)
        features = all_reduce_bytes(self.feature_bytes / fsdp_ranks, tensor_ranks)
        return weights / self.bytes_per_second, features / self.bytes_per_second

    def two_dimensional_limit(self, *, is_overlapped: bool) -> float:
        """Most ranks in all, on the best grid, that the forward pass keeps busy.

        Overlapped, each side has its own limit, and the grid their product. One after the other, their times add up:
        (N_F - 1) / a + (N_T - 1) / b <= 1, and the largest rectangle under that line has half of each side.
        """
        a, b = self.a, self.b
        return (1 + a) * (1 + b) if is_overlapped else (a * b + a + b) ** 2 / (4 * a * b)

    def best_fsdp_ranks(self) -> float:
        """The FSDP side of the largest grid that sends one after the other."""
        return (self.a * self.b + self.a + self.b) / (2 * self.b)
