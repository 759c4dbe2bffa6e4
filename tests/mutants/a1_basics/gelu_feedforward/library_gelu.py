"""Calls the library's GELU."""

REJECTED_BY = "forbidden"
BASE = "rungs_plain"
CHANGES = (
    (
        "hidden = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubed))",
        'hidden = torch.nn.functional.gelu(hidden, approximate="tanh")',
    ),
)
