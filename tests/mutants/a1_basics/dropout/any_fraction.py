"""Ten for ten percent drops all, and divides by minus nine."""

REJECTED_BY = "test_impossible_fractions_are_refused"
BASE = "rungs_plain"
CHANGES = (
    (
        ('    if not 0 <= drop_fraction < 1:\n        raise ValueError(f"{drop_fraction} is no fraction")\n'),
        "",
    ),
)
