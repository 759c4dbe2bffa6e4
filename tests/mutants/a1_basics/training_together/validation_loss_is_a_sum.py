"""Adds the losses of the positions instead of taking their mean."""

REJECTED_BY = "test_the_log_tells_the_curve"
BASE = "training_plain_script"
CHANGES = (
    (
        "return loss_of(model, *windows(tokens, starts, length)).item()",
        "return loss_of(model, *windows(tokens, starts, length)).item() * len(starts) * length",
    ),
)
