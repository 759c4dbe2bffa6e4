"""The right numbers, and a gradient that does not know of the variance."""

REJECTED_BY = "test_gradients_equal_the_oracles_slope"
BASE = "rungs_plain"
CHANGES = (("torch.sqrt(variance + eps)", "torch.sqrt(variance + eps).detach()"),)
