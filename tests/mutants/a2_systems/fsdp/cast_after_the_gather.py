"""Casts what has arrived: right numbers, twice the bytes."""

REJECTED_BY = "test_matrices_travel_in_the_compute_dtype_and_gradients_in_float32"
BASE = "fsdp_saved_tensors"
CHANGES = (
    (
        "mine = self.padded(self.shard.detach(), self.each, dtype or self.dtype)",
        "mine = self.padded(self.shard.detach(), self.each, torch.float32)",
    ),
    ("        return whole[: self.rows]\n", "        return whole[: self.rows].to(dtype or self.dtype)\n"),
)
