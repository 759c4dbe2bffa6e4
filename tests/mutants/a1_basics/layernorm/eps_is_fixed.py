"""1e-5, whatever was given."""

REJECTED_BY = "test_eps_stands_beside_the_variance"
BASE = "rungs_plain"
CHANGES = (("torch.sqrt(variance + eps)", "torch.sqrt(variance + 1e-5)"),)
