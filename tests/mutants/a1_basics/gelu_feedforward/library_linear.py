"""Calls the library's linear layer."""

REJECTED_BY = "forbidden"
BASE = "rungs_plain"
CHANGES = (
    (
        "return hidden @ w2_weight.T + w2_bias",
        "return torch.nn.functional.linear(hidden, w2_weight, w2_bias)",
    ),
)
