"""Writes its checkpoints to the working directory."""

REJECTED_BY = "test_publishes_a_checkpoint_and_its_log"
BASE = "training_plain_script"
CHANGES = (
    ("import os\n", "import os\nfrom pathlib import Path\n"),
    ('folder = job.runs / f"{job.name}-{identity}"', 'folder = Path(f"{job.name}-{identity}")'),
)
