"""Publishes no RunLog."""

REJECTED_BY = "test_publishes_a_checkpoint_and_its_log"
BASE = "training_plain_script"
CHANGES = (
    (
        '    parents = {"checkpoint": draft.artifact.digest}\n'
        '    with store.draft("RunLog", config=config, parents=parents, name=job.name) as records:\n'
        "        write_run_log(records, log, config)\n",
        "",
    ),
)
