"""Evaluates at its cadence only: the finished model has no number."""

REJECTED_BY = "test_the_log_tells_the_curve"
BASE = "training_plain_script"
CHANGES = (
    (
        "step % job.evaluate_every_steps == 0 or step == job.steps",
        "step % job.evaluate_every_steps == 0 and step < job.steps",
    ),
)
