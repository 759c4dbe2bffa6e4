"""Names the run folder by model, data, steps and seed: a sweep over rates trains once."""

REJECTED_BY = "test_another_job_does_not_go_on_from_this_one"
BASE = "training_plain_script"
CHANGES = (
    (
        "    identity = hashlib.sha256(json.dumps(config,",
        '    told = {k: config[k] for k in ("model", "shards", "steps", "seed")}\n'
        "    identity = hashlib.sha256(json.dumps(told,",
    ),
)
