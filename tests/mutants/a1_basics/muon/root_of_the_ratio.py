"""The first release's factor, sqrt(d_out / d_in): steps of another size than AdamW's."""

REJECTED_BY = "test_the_size_of_a_step"
BASE = "rungs_plain"
CHANGES = (
    (
        "size = 0.2 * math.sqrt(max(weights.shape))",
        "size = max(1, weights.shape[0] / weights.shape[1]) ** 0.5",
    ),
)
