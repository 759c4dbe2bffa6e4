"""A table made for 1,024 positions is used over again beyond."""

REJECTED_BY = "test_long_texts_stay_exact"
BASE = "rungs_plain"
CHANGES = (
    (
        "return allowed @ in_features / counts[:, None]",
        "return allowed @ in_features / counts.clamp(max=1024)[:, None]",
    ),
)
