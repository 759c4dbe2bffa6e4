"""Seeds the batches with the job's seed alone: every step sees the same one."""

REJECTED_BY = "test_learns_a_source_down_to_its_entropy"
BASE = "training_plain_script"
CHANGES = (("default_rng([job.seed, step])", "default_rng(job.seed)"),)
