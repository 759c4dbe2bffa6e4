"""A generator of its own, made anew each time: the same mask at every step."""

REJECTED_BY = "test_every_call_draws_anew"
BASE = "rungs_plain"
CHANGES = (
    (
        "kept = torch.rand(in_features.shape) >= drop_fraction",
        (
            "generator = torch.Generator().manual_seed(torch.initial_seed())\n"
            "    kept = torch.rand(in_features.shape, generator=generator) >= drop_fraction"
        ),
    ),
)
