"""Write the table of the ladder's rungs, where each is built and what it reached, into the handout."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a1_basics.model.rungs import LADDER
from a1_basics.run.ladder import COUNTED, NEW_WHEN_COUNTED
from shared.marked import replace_block
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.kinds import read_runs

INPUTS = {"ladder": "Runs"}
OUTPUTS: dict[str, str] = {}  # a table in a document, no artifact

BEGIN, END = "<!-- ladder: begin -->", "<!-- ladder: end -->"
NEW = {COUNTED: NEW_WHEN_COUNTED} | {rung.name: rung.new for rung in LADDER}
BUILT_IN: Mapping[str, tuple[str, ...]] = {
    COUNTED: ("bigram",),
    "neural bigram": ("embedding", "linear", "cross_entropy"),
    "averaging": ("averaging",),
    "one head": ("scaled_dot_product_attention",),
    "multi-head": ("multihead_self_attention",),
    "feed-forward": ("gelu_feedforward",),
    "residual + LayerNorm": ("transformer_block", "layernorm"),
    "dropout": ("dropout",),
    "RMSNorm": ("rmsnorm",),
    "RoPE": ("rope",),
    "SwiGLU": ("positionwise_feedforward",),
    "GQA": ("grouped_query_attention",),
    "QK-norm": ("qk_norm",),
    "Muon": ("muon",),
}
"""The problems in which a rung's part is written."""


@dataclass(frozen=True)
class LadderTable:
    """Which ladder, and where the table goes."""

    ladder: str = "ladder"  # name or digest of the Runs of a1_basics.run.ladder
    document: Path = Path("a1_basics/HANDOUT.md")  # between whose marks it is written
    store: Path = Path("artifacts")  # where artifacts lie


PRESETS = {"default": LadderTable()}


def main(config: LadderTable) -> None:
    """Replace the table between the document's marks."""
    rows, _ = read_runs(Store(config.store).open(config.ladder, "Runs"))
    losses = {row["run"]: row["validation_loss_nats"] for row in rows}
    replace_block(config.document, BEGIN, END, ladder_table(losses))
    print(f"{config.document}: the table is that of {config.ladder}")


def ladder_table(losses: Mapping[str, Any]) -> str:
    """A row for each rung; the cell of one that was not climbed stays empty."""
    rows = ["| rung | what is new | built in | nats per character |", "| --- | --- | --- | ---: |"]
    for name, new in NEW.items():
        problems = ", ".join(f"`{problem}`" for problem in BUILT_IN[name])
        loss = f"{losses[name]:.3f}" if name in losses else ""
        rows.append(f"| {name} | {new} | {problems} | {loss} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
