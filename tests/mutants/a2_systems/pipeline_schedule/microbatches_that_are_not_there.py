"""With fewer microbatches than stages it goes ahead with some that do not exist."""

REJECTED_BY = "test_every_microbatch_passes_every_stage_once"
BASE = "pipeline_plain"
CHANGES = (("every[:ahead]", "range(ahead)"),)
