"""A wrong name is a zero-bubble schedule."""

REJECTED_BY = "test_a_wrong_name_or_size_is_refused"
BASE = "pipeline_plain"
CHANGES = (
    (
        (
            '    if name not in ("gpipe", "1f1b", "zero_bubble"):\n'
            '        raise ValueError(f"no schedule {name!r}")\n'
        ),
        "",
    ),
)
