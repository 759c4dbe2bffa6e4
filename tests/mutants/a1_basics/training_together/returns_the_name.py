"""Returns the name under which it published: the next run takes that name away."""

REJECTED_BY = "test_publishes_a_checkpoint_and_its_log"
BASE = "training_plain_script"
CHANGES = (("return draft.artifact.digest", "return job.name"),)
