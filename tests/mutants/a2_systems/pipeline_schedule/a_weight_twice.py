"""The first of the weight gradients left over was done already."""

REJECTED_BY = "test_every_microbatch_passes_every_stage_once"
BASE = "pipeline_plain"
CHANGES = (("every[max(num_microbatches - rank, 0) :]", "every[max(num_microbatches - rank - 1, 0) :]"),)
