"""Keeps the matrix of weights for backward, beside the log-sum-exp."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_little_is_kept_for_backward"
CHANGES = (
    (
        "ctx.save_for_backward(Q, K, V, out, logsumexp)",
        "ctx.save_for_backward(Q, K, V, out, logsumexp)\n        ctx.weights = torch.softmax(Q @ K.mT, -1)",
    ),
)
