"""Adds up rows in an order of chance, as atomic additions would."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_twice_the_same"
CHANGES = (
    (
        "grad_scores.mT @ q, weights",
        "(grad_scores.mT[..., (p := torch.randperm(q.shape[-2]))] @ q[..., p, :]), weights",
    ),
)
