"""Computes backward in the inputs' dtype."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_half_precision_gradients"
CHANGES = (
    ("q, k, v, grad = (part.float() for part in (Q, K, V, grad_out))", "q, k, v, grad = Q, K, V, grad_out"),
    (
        "weights = torch.exp(scores - logsumexp[..., None])",
        "weights = torch.exp(scores - logsumexp[..., None].to(Q.dtype))",
    ),
    ("(out.float() * grad)", "(out * grad)"),
)
