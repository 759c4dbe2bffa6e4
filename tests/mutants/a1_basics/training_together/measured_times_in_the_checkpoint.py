"""Puts the time that the training took into the record: the same job has another digest every time."""

REJECTED_BY = "test_a_finished_job_gives_its_checkpoint_again"
BASE = "training_plain_script"
CHANGES = (
    ("import os\n", "import os\nimport time\n"),
    ('{"steps": step})', '{"steps": step, "ended": time.time_ns()})'),
)
