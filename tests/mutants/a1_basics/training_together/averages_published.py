"""Publishes the mean of the weights over the whole run: the noise of the start stays in."""

REJECTED_BY = "test_learns_a_source_down_to_its_entropy"
BASE = "training_plain_script"
CHANGES = (
    ("step, log = 0, []", "step, log, mean = 0, [], {}"),
    (
        "        optimizer.step()\n",
        "        optimizer.step()\n"
        "        for name, tensor in model.state_dict().items():\n"
        "            mean[name] = mean.get(name, 0) + tensor / job.steps\n",
    ),
    ("write_checkpoint(draft, job.model, model.state_dict(), ", "write_checkpoint(draft, job.model, mean, "),
)
