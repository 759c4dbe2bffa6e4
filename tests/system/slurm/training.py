"""`train_lm`, slow until it was restarted: what a test does to it then comes before its end, on any machine."""

import os
import sys
import threading
from typing import Any

from a1_basics import adapters
from a1_basics.configs import TRAIN_LM
from a1_basics.run import train_lm
from shared.runs.program import run_program

PAUSE_SECONDS = 0.1

plain_get_batch = adapters.run_get_batch


def slow_get_batch(*arguments: Any, **named: Any) -> Any:
    threading.Event().wait(PAUSE_SECONDS)  # nobody sets it: a slower machine, that is all
    return plain_get_batch(*arguments, **named)


if __name__ == "__main__":
    if os.environ.get("SLURM_JOB_ID") and os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        adapters.run_get_batch = slow_get_batch
    sys.exit(run_program(train_lm.main, TRAIN_LM, inputs=train_lm.INPUTS, outputs=train_lm.OUTPUTS))
