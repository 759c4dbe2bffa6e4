"""The outer groups lack the settings that the optimizer class sets by itself: schedulers find no lr."""

REJECTED_BY = "test_settings_may_change_at_any_step"
BASE = "sharded_contiguous_runs"
CHANGES = (("            group.setdefault(key, value)", "            pass"),)
