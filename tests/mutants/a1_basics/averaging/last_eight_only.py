"""A window: what is further back is forgotten."""

REJECTED_BY = "test_it_is_attention_in_which_every_score_is_equal"
BASE = "rungs_plain"
CHANGES = (
    ("dtype=in_features.dtype).tril()", "dtype=in_features.dtype).tril().triu(-7)"),
    (
        "torch.arange(1, seq + 1, dtype=in_features.dtype)",
        "torch.arange(1, seq + 1, dtype=in_features.dtype).clamp(max=8)",
    ),
)
