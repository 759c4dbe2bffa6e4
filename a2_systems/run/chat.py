"""Talk to a checkpoint in the terminal: write a beginning, and the model goes on."""

import sys

from a2_systems.configs import CHAT
from shared.doors.inference import ChatJob
from shared.doors.resolve import door
from shared.runs.program import run_program

INPUTS = {"checkpoint": "Checkpoint"}
OUTPUTS: dict[str, str] = {}  # answers


def main(config: ChatJob) -> None:
    """Until the input ends."""
    door("a2_systems", config.impl).chat(config)


if __name__ == "__main__":
    sys.exit(run_program(main, CHAT, inputs=INPUTS, outputs=OUTPUTS))
