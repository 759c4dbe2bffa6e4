"""Keeps maximum and sum for backward, as the first FlashAttention did: twice as much."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_result_and_logsumexp"
CHANGES = (
    (
        "ctx.save_for_backward(Q, K, V, out, logsumexp)",
        "ctx.save_for_backward(Q, K, V, out, logsumexp, torch.exp(logsumexp))",
    ),
)
