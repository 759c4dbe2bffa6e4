"""x squared in place of x cubed."""

REJECTED_BY = "test_gelu_of_x_minus_gelu_of_minus_x_is_x"
BASE = "rungs_plain"
CHANGES = (("0.044715 * hidden**3", "0.044715 * hidden**2"),)
