"""dK without the factor that dQ has."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_gradients_equal_the_oracles"
CHANGES = (("grad_scores.mT @ q, weights", "grad_scores.mT @ q / scale, weights"),)
