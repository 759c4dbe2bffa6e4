"""The inner optimizer never hears of a new rate: schedules have no effect."""

REJECTED_BY = "test_settings_may_change_at_any_step"
BASE = "sharded_contiguous_runs"
CHANGES = (
    (
        '            inner.update({key: value for key, value in outer.items() if key != "params"})\n',
        "            pass\n",
    ),
)
