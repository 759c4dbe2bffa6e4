"""Computes and sends everything in float32, whatever was asked for."""

REJECTED_BY = "test_matrices_travel_in_the_compute_dtype_and_gradients_in_float32"
BASE = "fsdp_saved_tensors"
CHANGES = (("return FSDP(module, compute_dtype)", "return FSDP(module, None)"),)
