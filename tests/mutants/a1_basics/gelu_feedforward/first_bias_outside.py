"""Adds the first bias after GELU."""

REJECTED_BY = "test_both_biases_count"
BASE = "rungs_plain"
CHANGES = (
    ("hidden = in_features @ w1_weight.T + w1_bias", "hidden = in_features @ w1_weight.T"),
    (
        "hidden = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubed))",
        "hidden = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubed)) + w1_bias",
    ),
)
