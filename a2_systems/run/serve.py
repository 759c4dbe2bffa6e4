"""Serve a checkpoint: a page to talk to it, and OpenAI's interface for programs.

The address is printed; it is this machine's alone. Programs use base_url = ADDRESS/v1 and any key. For others to reach
it, make keys first: python -m shared.serve.keys add NAME. Ctrl-C ends it when the answers under way are done.
"""

import sys

from a2_systems.configs import SERVE
from shared.doors.inference import ServeJob
from shared.doors.resolve import door
from shared.runs.program import run_program

INPUTS = {"checkpoint": "Checkpoint"}
OUTPUTS: dict[str, str] = {}  # answers


def main(config: ServeJob) -> None:
    """Until Ctrl-C or SIGTERM."""
    door("a2_systems", config.impl).serve(config)


if __name__ == "__main__":
    sys.exit(run_program(main, SERVE, inputs=INPUTS, outputs=OUTPUTS))
