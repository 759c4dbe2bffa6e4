"""What was put off last is never done."""

REJECTED_BY = "test_every_microbatch_passes_every_stage_once"
BASE = "pipeline_plain"
CHANGES = (("every[max(num_microbatches - rank, 0) :]", "()"),)
