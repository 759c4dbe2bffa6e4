"""The feed-forward of the handout's four problems about splitting, and its machine."""

from shared.parallel_costs import FeedForwardCosts

COSTS = FeedForwardCosts(
    tokens=131_072, d_model=8192, d_ff=28_672, flops_per_second=1e15, bytes_per_second=4.5e11
)
BACKWARD_IS_TWICE = "a backward pass has two products for each one of the forward pass"
SHARED_WORK = "each rank computes a share of it, not all"
RING = "on a ring each rank sends (N-1)/N of the whole, not all of it"
ONE_MORE = "the limit is 1 + ...: one rank alone sends nothing, so N-1 is what counts"
SPEED = "numbers have two bytes here"
