"""Masters have the dtype of the computation: small steps are lost."""

REJECTED_BY = "test_layers_compute_in_the_compute_dtype_on_float32_masters"
BASE = "fsdp_saved_tensors"
CHANGES = (
    ("mine.float().clone()", "mine.to(self.dtype).clone()"),
    (".clone() / self.ranks", ".to(self.dtype) / self.ranks"),
)
