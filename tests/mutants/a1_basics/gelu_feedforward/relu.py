"""The ReLU that came before."""

REJECTED_BY = "test_gelu_over_its_dip"
BASE = "rungs_plain"
CHANGES = (
    (
        "hidden = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubed))",
        "hidden = hidden.clamp(min=0)",
    ),
)
