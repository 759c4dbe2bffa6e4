"""Sums gradients in half precision."""

REJECTED_BY = "test_matrices_travel_in_the_compute_dtype_and_gradients_in_float32"
BASE = "fsdp_saved_tensors"
CHANGES = (
    ("self.each * self.ranks, torch.float32)", "self.each * self.ranks, gradient.dtype)"),
    (".clone() / self.ranks", ".float() / self.ranks"),
)
