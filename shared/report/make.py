"""Make the page of a trained model: what it scores, how it learned, what it writes, and where it comes from."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from shared.doors.resolve import source_roots
from shared.report.base_run import read_base_run
from shared.report.pages import write_base_run
from shared.report.publish import publish
from shared.runs.program import run_program
from shared.store.artifacts import Store

INPUTS = {"checkpoint": "Checkpoint", "evaluation": "EvalReport", "samples": "Samples", "log": "RunLog"}
OUTPUTS = {"report": "Report"}


@dataclass(frozen=True)
class MakeReport:
    """Which run to report on."""

    checkpoint: str = "base"  # name or digest of a Checkpoint
    evaluation: str = ""  # name or digest of its EvalReport; empty: the checkpoint's name
    samples: str = ""  # name or digest of its Samples; empty: the checkpoint's name
    log: str = ""  # name or digest of its RunLog; empty: the checkpoint's name
    name: str = "base"  # the Report's name
    impl: str = "reference"  # whose tokenizer cuts the example text
    store: Path = Path("artifacts")  # where artifacts lie


PRESETS = {"default": MakeReport()}


def main(config: MakeReport) -> None:
    """Publish the Report `config.name` and say where its page is."""
    store = Store(config.store)
    wanted = {role: getattr(config, role) or config.checkpoint for role in INPUTS}
    inputs = {role: store.open(wanted[role], kind).digest for role, kind in INPUTS.items()}
    title = store.open(wanted["checkpoint"], "Checkpoint").name_hint or ""
    config = dataclasses.replace(config, **inputs)
    sources = source_roots("a1_basics", config.impl)

    def write(folder: Path) -> None:
        run = read_base_run(store, **{**inputs, "checkpoint": wanted["checkpoint"]}, impl=config.impl)
        write_base_run(run, folder)

    publish(store, "shared.report.make", config, inputs, write, title=title, sources=sources)


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
