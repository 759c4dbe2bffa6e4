"""The biases never learn."""

REJECTED_BY = "test_gradients_equal_the_oracles_slope"
BASE = "rungs_plain"
CHANGES = (("return hidden @ w2_weight.T + w2_bias", "return hidden @ w2_weight.T + w2_bias.detach()"),)
