"""Every sharded leaf becomes a bare Module."""

REJECTED_BY = "test_each_rank_has_its_share"
BASE = "fsdp_saved_tensors"
CHANGES = (
    (
        "            leaf.forward = self.around(leaf, leaf.forward, matrix)",
        "            leaf.forward = self.around(leaf, leaf.forward, matrix)\n"
        "            leaf.__class__ = nn.Module",
    ),
)
