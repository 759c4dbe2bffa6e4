"""Gives float32 back, whatever came."""

REJECTED_BY = "test_dtype_is_kept"
BASE = "rungs_plain"
CHANGES = (("return (normed * weights + biases).to(in_features.dtype)", "return normed * weights + biases"),)
