"""A training that stands still until it is told to stop, so that what a test does to it comes in time on any machine.

    python -m tests.system.slurm.training train_lm|train_parallel FLAGS OF THE PROGRAM

In a job's first lives (one, or as many as the file `lives-held` says) it stands still behind its first checkpoint.
`held-0`, `held-1` ... beside its runs say that it does; a signal ends that, and so does a file `go-on-0`.
"""

import importlib
import itertools
import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from a1_basics import adapters, configs
from a2_systems.configs import TRAIN_PARALLEL
from shared.runs.program import run_program
from shared.runs.stopping import StopRequest

BATCHES_OF_A_LIFE = 7  # behind the checkpoint of step 5, and not at one
LOOK_SECONDS = 0.05
PROGRAMS = {
    "train_lm": ("a1_basics.run.train_lm", configs.TRAIN_LM),
    "train_parallel": ("a2_systems.run.train_parallel", TRAIN_PARALLEL),
}

plain_get_batch = adapters.run_get_batch
plain_receive = StopRequest.receive
batches = itertools.count()
heard: list[int] = []


def receive(self: StopRequest, number: int, frame: FrameType | None) -> None:
    heard.append(number)
    plain_receive(self, number, frame)


def main() -> int:
    """Run the program; only rank 0 stands still, the others wait for it as they always do."""
    module, presets = PROGRAMS[sys.argv.pop(1)]
    folder = Path(sys.argv[sys.argv.index("--runs") + 1]).parent
    life = os.environ.get("SLURM_RESTART_COUNT", "0")
    lives_held = folder / "lives-held"

    def get_batch(*arguments: Any, **named: Any) -> Any:
        if next(batches) == BATCHES_OF_A_LIFE:
            (folder / f"held-{life}").touch()
            while not heard and not (folder / f"go-on-{life}").exists():
                threading.Event().wait(LOOK_SECONDS)
        return plain_get_batch(*arguments, **named)

    is_held = int(life) < int(lives_held.read_text() if lives_held.exists() else 1)
    if "SLURM_JOB_ID" in os.environ and is_held and os.environ.get("RANK", "0") == "0":
        adapters.run_get_batch = get_batch
        StopRequest.receive = receive
    program = importlib.import_module(module)
    return run_program(program.main, presets, inputs=program.INPUTS, outputs=program.OUTPUTS)


if __name__ == "__main__":
    sys.exit(main())
