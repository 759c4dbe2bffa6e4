"""Writes tanh out with exponentials that overflow."""

REJECTED_BY = "test_far_out_gelu_is_zero_or_x"
BASE = "rungs_plain"
CHANGES = (
    (
        "hidden = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubed))",
        (
            "grown = torch.exp(2 * math.sqrt(2 / math.pi) * cubed)\n"
            "    hidden = 0.5 * hidden * (1 + (grown - 1) / (grown + 1))"
        ),
    ),
)
