"""Of the settings only lr reaches the inner optimizer."""

REJECTED_BY = "test_settings_may_change_at_any_step"
BASE = "sharded_contiguous_runs"
CHANGES = (
    (
        'inner.update({key: value for key, value in outer.items() if key != "params"})',
        'inner["lr"] = outer["lr"]',
    ),
)
