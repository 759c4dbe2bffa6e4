"""What a collective costs, before it is run: rounds times latency, and bytes over bandwidth.

The alpha-beta model: a message takes `seconds_per_message` however short it is, and then its bytes over
`bytes_per_second`. Small tensors pay for rounds, so a tree wins; large ones pay for bytes, so a ring wins; where they
cross is one division.

    >>> fast = Link(bytes_per_second=10e9, seconds_per_message=10e-6)
    >>> cheapest(1_000, 8, fast), cheapest(100_000_000, 8, fast)
    ('tree', 'ring')
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from shared.parallel_costs import Link, all_reduce_bytes


@dataclass(frozen=True)
class Cost:
    """What one all-reduce asks for."""

    rounds: int  # messages that have to wait for one another
    path_bytes: float  # that pass one after another on the slowest way
    rank_bytes: float  # sent by the rank that sends most
    total_bytes: int  # sent by all ranks

    def seconds(self, link: Link) -> float:
        """The time that these rounds and bytes take on a link."""
        return self.rounds * link.seconds_per_message + self.path_bytes / link.bytes_per_second


def whole_ring_cost(tensor_bytes: int, ranks: int) -> Cost:
    """Every rank sends a whole tensor in each of ranks - 1 rounds."""
    sent = (ranks - 1) * tensor_bytes
    return Cost(ranks - 1, float(sent), float(sent), ranks * sent)


def ring_cost(tensor_bytes: int, ranks: int) -> Cost:
    """Every rank sends a chunk in each of 2 (ranks - 1) rounds: never more than two tensors in all.

    Source: [patarasuk-2009] section 3: no all-reduce can send less.
    """
    sent = all_reduce_bytes(tensor_bytes, ranks)
    return Cost(2 * (ranks - 1), sent, sent, 2 * (ranks - 1) * tensor_bytes)


def two_way_ring_cost(tensor_bytes: int, ranks: int) -> Cost:
    """As many bytes as in a ring, half of them in each direction of a link."""
    one_way = ring_cost(tensor_bytes, ranks)
    return Cost(one_way.rounds, one_way.path_bytes / 2, one_way.rank_bytes, one_way.total_bytes)


def tree_cost(tensor_bytes: int, ranks: int) -> Cost:
    """Whole tensors up and down; rank 0 sends one to each of its log2(ranks) children."""
    depth = math.ceil(math.log2(ranks))
    from_root = float(depth * tensor_bytes)
    return Cost(2 * depth, 2 * from_root, from_root, 2 * (ranks - 1) * tensor_bytes)


COSTS: dict[str, Callable[[int, int], Cost]] = {
    "whole ring": whole_ring_cost,
    "tree": tree_cost,
    "ring": ring_cost,
    "two-way ring": two_way_ring_cost,
}


def cheapest(tensor_bytes: int, ranks: int, link: Link, among: tuple[str, ...] = ("tree", "ring")) -> str:
    """The name of the all-reduce that the model expects to be done first."""
    return min(among, key=lambda name: COSTS[name](tensor_bytes, ranks).seconds(link))


def fitted_link(measured: list[tuple[Cost, float]]) -> Link:
    """The latency and bandwidth that explain measured seconds best, by least squares of relative errors.

    Relative, for a second and a microsecond shall count alike. Neither can be negative.

    Raises:
        ValueError: fewer than two measurements, or none that tells rounds from bytes.
    """
    rows = [(cost.rounds / seconds, cost.path_bytes / seconds) for cost, seconds in measured]
    # The normal equations of: latency x + seconds_per_byte y = 1, for every row (x, y).
    xx, xy, yy = sum(x * x for x, _ in rows), sum(x * y for x, y in rows), sum(y * y for _, y in rows)
    x1, y1 = sum(x for x, _ in rows), sum(y for _, y in rows)
    determinant = xx * yy - xy * xy
    if len(rows) < 2 or determinant <= 1e-12 * xx * yy:
        raise ValueError(
            f"{len(rows)} measurements do not tell latency from bandwidth; measure several sizes"
        )
    latency, per_byte = (yy * x1 - xy * y1) / determinant, (xx * y1 - xy * x1) / determinant
    if latency <= 0:
        latency, per_byte = 0.0, y1 / yy
    elif per_byte <= 0:
        latency, per_byte = x1 / xx, 0.0
    return Link(1 / per_byte if per_byte else math.inf, latency)
