"""Calls the library's kernel."""

REJECTED_BY = "forbidden"
BASE = "rungs_plain"
CHANGES = (
    (
        "read = torch.softmax(scores.masked_fill(future, -torch.inf), dim=-1) @ v",
        "read = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=~future)",
    ),
)
