"""Publishes a freshly built model."""

REJECTED_BY = "test_learns_a_source_down_to_its_entropy"
BASE = "training_plain_script"
CHANGES = (
    (
        "write_checkpoint(draft, job.model, model.state_dict(), ",
        "write_checkpoint(draft, job.model, adapters.build_model(job.model).state_dict(), ",
    ),
)
