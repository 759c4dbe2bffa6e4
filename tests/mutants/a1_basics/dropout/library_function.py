"""Returns the library's dropout: right, and nothing was built."""

REJECTED_BY = "forbidden"
BASE = "rungs_plain"
CHANGES = (
    (
        "return in_features * kept / (1 - drop_fraction)",
        "return torch.nn.functional.dropout(in_features, drop_fraction)",
    ),
)
