"""The moments are saved, and not read again."""

REJECTED_BY = "test_training_resumes"
BASE = "sharded_contiguous_runs"
CHANGES = (('        self.inner.load_state_dict(state_dict["inner"])\n', ""),)
