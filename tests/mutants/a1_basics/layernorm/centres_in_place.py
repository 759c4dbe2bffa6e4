"""Subtracts the mean from the caller's features."""

REJECTED_BY = "test_arguments_are_left_alone"
BASE = "rungs_plain"
CHANGES = (
    (
        "mean = wide.mean(dim=-1, keepdim=True)",
        (
            "mean = wide.mean(dim=-1, keepdim=True)\n"
            "    if not in_features.requires_grad:\n"
            "        in_features -= mean.to(in_features.dtype)\n"
            "        wide, mean = in_features.float(), torch.zeros_like(mean)"
        ),
    ),
)
