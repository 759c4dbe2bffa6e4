"""Shards Linear and Embedding: a matrix in any other class stays whole."""

REJECTED_BY = "test_each_rank_has_its_share"
BASE = "fsdp_saved_tensors"
CHANGES = (("or list(leaf.children())", "or not isinstance(leaf, (nn.Linear, nn.Embedding))"),)
