"""Train a language model on Shards; killed or pre-empted, the same command goes on from the last checkpoint."""

import json
import sys
from typing import Any

from a1_basics.configs import MEASURED, TRAIN_LM
from shared import accounting, costs
from shared.device import pick_device, pick_precision
from shared.doors.protocols import TrainJob
from shared.doors.resolve import door
from shared.doors.settings import check_ranges, check_shape
from shared.runs.program import run_program
from shared.runs.runlog import VALIDATION_LOSS
from shared.store.artifacts import Store

INPUTS = {"shards": "Shards", "init": "Checkpoint"}
OUTPUTS = {"checkpoint": "Checkpoint", "log": "RunLog"}


def main(config: TrainJob) -> None:
    """Publish the Checkpoint and RunLog `config.name`."""
    digest = door("a1_basics", config.impl).train(config)
    checkpoint = Store(config.store).open(digest, "Checkpoint")
    print(f"{config.name}: Checkpoint {checkpoint.digest[:12]}")
    if config.target_loss_nats is not None:
        training = json.loads(checkpoint.file("training.json").read_text(encoding="utf-8"))
        loss_nats = training["metrics"][VALIDATION_LOSS]
        verdict = "reached" if loss_nats <= config.target_loss_nats else "missed"
        print(f"  held-out loss {loss_nats:.4f} nats per token: target {config.target_loss_nats} {verdict}")


def plan(config: TrainJob) -> dict[str, Any]:
    """What the job will cost, before it is begun.

    Raises:
        ConfigError: settings that no training could use, whatever the shards.
    """
    check_ranges(config)
    check_shape(config.model)
    count = accounting.parameters(config.model)
    num_tokens, flops = config.train_tokens, accounting.training_flops(config)
    device = pick_device(config.device)
    dtype = pick_precision(config.precision, device)
    [work] = work_of(config)
    state_bytes = accounting.training_bytes(config.model)
    measured = costs.measured_for(config, MEASURED["train_lm"], TRAIN_LM, work_of)
    return {
        "parameters": count.total,
        "non_embedding_parameters": count.non_embedding,
        "train_tokens": num_tokens,
        "tokens_per_parameter": num_tokens / count.total,
        "train_flops": flops,
        "train_6nd_flops": accounting.training_flops_6nd(count.total, num_tokens),
        "state_bytes": state_bytes,
        "activation_bytes": work.memory_bytes - state_bytes,
        "checkpoint_bytes": 3 * accounting.BYTES_PER_FLOAT32 * count.total,
        "device": f"{device}, {dtype}".replace("torch.", ""),
        **costs.tiers([work], config.prices, measured),
    }


def work_of(config: TrainJob) -> list[costs.Work]:
    """What the job computes and holds."""
    return [accounting.training_work(config)]


if __name__ == "__main__":
    sys.exit(run_program(main, TRAIN_LM, inputs=INPUTS, outputs=OUTPUTS))
