"""Computes the weights from bare exponentials in place of the log-sum-exp."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_large_scores_have_finite_gradients"
CHANGES = (
    (
        "weights = torch.exp(scores - logsumexp[..., None])",
        "weights = torch.exp(scores) / torch.exp(scores).sum(-1, keepdim=True)",
    ),
)
