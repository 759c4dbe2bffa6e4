"""x sigmoid(1.702 x), the coarse approximation."""

REJECTED_BY = "test_gelu_over_its_dip"
BASE = "rungs_plain"
CHANGES = (
    (
        "hidden = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubed))",
        "hidden = hidden * torch.sigmoid(1.702 * hidden)",
    ),
)
