"""torch's own kernel behind an autograd function."""

BASE = "flash_queries_outside"
REJECTED_BY = "forbidden"
CHANGES = (
    (
        "    return out, logsumexp\n\n\n@triton",
        "    F = torch.nn.functional\n    return F.scaled_dot_product_attention(Q, K, V), logsumexp\n\n\n@triton",
    ),
)
