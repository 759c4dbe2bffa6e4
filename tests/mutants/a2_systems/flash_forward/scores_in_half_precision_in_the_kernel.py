"""The kernel rounds scores to the dtype of its inputs."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_half_precision_is_summed_in_float32"
CHANGES = (("tl.dot(q, tl.trans(k)) * scale", "(tl.dot(q, tl.trans(k)) * scale).to(v.dtype).to(tl.float32)"),)
