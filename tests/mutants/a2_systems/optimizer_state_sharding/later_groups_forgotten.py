"""Groups added later are broadcast, and never updated."""

REJECTED_BY = "test_groups_may_be_added"
BASE = "sharded_contiguous_runs"
CHANGES = (
    ("            self.inner.add_param_group(mine)", "            pass"),
    ("self.inner.param_groups, strict=True", "self.inner.param_groups, strict=False"),
)
