"""The handout's table of rungs: every rung has a row, and each is built in problems that there are."""

import re
from pathlib import Path

from a1_basics.exercises import EXERCISES
from a1_basics.run.ladder import NAMES
from a1_basics.run.ladder_table import BEGIN, BUILT_IN, END, LadderTable, ladder_table, main
from shared.store.artifacts import Store
from shared.store.kinds import write_runs

HANDOUT = Path(__file__).resolve().parents[3] / "a1_basics" / "HANDOUT.md"


def test_every_rung_is_built_in_a_problem_with_tests():
    graded = {exercise.id for exercise in EXERCISES if exercise.kind == "code"}
    assert list(BUILT_IN) == list(NAMES)
    assert all(problems and set(problems) <= graded for problems in BUILT_IN.values())


def test_the_handouts_table_is_what_its_losses_give():
    written = HANDOUT.read_text().split(BEGIN)[1].split(END)[0].strip()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in written.splitlines()[2:]]
    losses = {row[0]: float(row[-1]) for row in cells if re.fullmatch(r"\d+\.\d{3}", row[-1])}
    assert written == ladder_table(losses)


def test_losses_come_from_the_artifact(tmp_path):
    with Store(tmp_path).draft("Runs", config={}, parents={}, name="climbed") as draft:
        write_runs(draft, [{"run": "RoPE", "validation_loss_nats": 1.25}], {"RoPE": []})
    document = tmp_path / "handout.md"
    document.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    main(LadderTable("climbed", document, tmp_path))
    text = document.read_text()
    assert re.search(r"\| RoPE \| [^|]+ \| `rope` \| 1\.250 \|", text)
    assert re.search(r"\| Muon \| [^|]+ \| `muon` \|  \|", text)
    assert text.startswith("before\n")
    assert text.endswith("after\n")
