"""Full parameters are those that layers compute with."""

REJECTED_BY = "test_layers_compute_in_the_compute_dtype_on_float32_masters"
BASE = "fsdp_saved_tensors"
CHANGES = (("take(torch.float32).clone()", "take().float()"),)
