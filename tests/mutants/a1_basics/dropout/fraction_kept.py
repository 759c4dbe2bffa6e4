"""Takes the fraction that goes for the one that stays."""

REJECTED_BY = "test_the_fraction_is_what_is_dropped"
BASE = "rungs_plain"
CHANGES = (
    (
        "kept = torch.rand(in_features.shape) >= drop_fraction",
        "kept = torch.rand(in_features.shape) < drop_fraction",
    ),
)
