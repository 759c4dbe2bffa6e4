"""One draw for each sequence: it goes as a whole."""

REJECTED_BY = "test_each_number_has_its_own_fate"
BASE = "rungs_plain"
CHANGES = (
    (
        "kept = torch.rand(in_features.shape) >= drop_fraction",
        (
            "shape = (len(in_features), *[1] * (in_features.dim() - 1))\n"
            "    kept = torch.rand(shape).expand(in_features.shape) >= drop_fraction"
        ),
    ),
)
