"""One root mean square for all vectors."""

REJECTED_BY = "test_each_query_and_each_key_is_normalised_by_itself"
BASE = "rungs_plain"
CHANGES = (("wide.square().mean(dim=-1, keepdim=True)", "wide.square().mean(dim=(-2, -1), keepdim=True)"),)
