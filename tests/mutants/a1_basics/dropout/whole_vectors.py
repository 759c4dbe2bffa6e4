"""One draw for each vector: it goes as a whole."""

REJECTED_BY = "test_each_number_has_its_own_fate"
BASE = "rungs_plain"
CHANGES = (
    (
        "kept = torch.rand(in_features.shape) >= drop_fraction",
        "kept = (torch.rand(in_features.shape[:-1] + (1,)) >= drop_fraction).expand(in_features.shape)",
    ),
)
