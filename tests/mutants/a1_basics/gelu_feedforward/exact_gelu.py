"""The exact GELU, by the error function: off in the fourth digit."""

REJECTED_BY = "test_gelu_over_its_dip"
BASE = "rungs_plain"
CHANGES = (
    (
        "hidden = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubed))",
        "hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))",
    ),
)
