"""`make status` sees what a learner wrote since the last grading: code, numbers and texts alike."""

import pytest

from shared.doors.load import locate
from shared.doors.paper import ANSWERS, WRITEUP
from shared.doors.scaffold import write_stubs
from tests.harness import commands, status
from tests.harness.answers import Paper
from tests.harness.outcomes import StageGrade
from tests.harness.workspace import Workspace
from tests.system.fake_stage import write_workspace

STAGE = "a1_basics"
MORE = """
from shared.doors.exercise import Question

COUNT = Question("count", "How many?", "things")
EXERCISES += (
    Exercise(id="sums", title="Sums", points=2, kind="numeric", questions=(COUNT,)),
    Exercise(id="sizes", title="Sizes", points=2, kind="numeric", questions=(COUNT,)),
)
"""
KEY = "from tests.harness import keys\n\nCHECKS = {'count': keys.number(lambda _: 7)}\n"


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    workspace = write_workspace(tmp_path)
    listed = workspace.root / STAGE / "exercises.py"
    listed.write_text(listed.read_text() + MORE)
    for problem in ("sums", "sizes"):
        workspace.key_file(STAGE, problem).write_text(KEY)
    write_stubs(STAGE, workspace.learner, workspace.root)
    return workspace


def write_paper(workspace: Workspace, *, sums: str = '""', sizes: str = '""', essay: str = "") -> None:
    folder = workspace.learner / STAGE
    (folder / ANSWERS).write_text(f"[sums]\ncount = {sums}\n\n[sizes]\ncount = {sizes}\n")
    (folder / WRITEUP).write_text(f"# What I found\n\n## essay\n\n{essay}\n")


def grade_paper(workspace: Workspace) -> None:
    paper = Paper(workspace, STAGE, locate(STAGE, "learner", workspace.root))
    problems = tuple(paper.verdict(e) for e in workspace.exercises(STAGE) if e.kind != "code")
    commands.remember(workspace, StageGrade(STAGE, "learner", problems))


def rows(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What status says of each problem and, under "next", of the next step."""
    assert status.main(["--root", str(workspace.root)]) == 0
    said = {}
    for line in capsys.readouterr().out.splitlines():
        words = line.split()
        if words and words[0] == "next:":
            said["next"] = " ".join(words[1:])
        elif len(words) > 2:
            said[words[1]] = " ".join(words[2:])
    return said


def test_fresh_stubs_send_to_the_first_problem(workspace, capsys):
    write_paper(workspace)
    found = rows(workspace, capsys)
    assert found["double"] == "not started 0/3"
    assert found["next"] == f"make watch STAGE={STAGE} PROBLEM=double"


def test_a_stage_that_was_begun_goes_before_one_that_was_not(workspace, capsys):
    earlier, later = workspace.learner / STAGE, workspace.learner / "a2_systems"
    listed = workspace.root / "a2_systems" / "exercises.py"
    listed.parent.mkdir()
    listed.write_text((workspace.root / STAGE / "exercises.py").read_text())
    earlier.rename(later)
    assert rows(workspace, capsys)["next"] == "make watch STAGE=a2_systems PROBLEM=double"


def test_numbers_filled_in_before_the_first_grading(workspace, capsys):
    write_paper(workspace, sums="7")
    found = rows(workspace, capsys)
    assert found["sums"] == "not started 0/2 written, not graded yet"
    assert found["sizes"] == "not started 0/2"
    assert found["next"] == f"make grade STAGE={STAGE}"


def test_numbers_changed_after_a_grading_are_noted_for_their_problem_alone(workspace, capsys):
    write_paper(workspace, sums="7", sizes="8", essay="Because.")
    grade_paper(workspace)
    found = rows(workspace, capsys)
    assert (found["sums"], found["sizes"]) == ("passed 2/2", "failed 0/2")
    assert found["essay"] == "not checked 0/1"
    write_paper(workspace, sums="7", sizes="7", essay="Because of this.")
    found = rows(workspace, capsys)
    assert found["sums"] == "passed 2/2"
    assert found["sizes"] == "failed 0/2 changed since: grade again"
    assert found["essay"] == "not checked 0/1 changed since: grade again"
    assert found["next"] == f"make grade STAGE={STAGE}"
    grade_paper(workspace)
    assert rows(workspace, capsys)["sizes"] == "passed 2/2"


def test_answers_taken_out_again_and_a_file_that_cannot_be_read(workspace, capsys):
    write_paper(workspace, sums="7")
    grade_paper(workspace)
    write_paper(workspace)
    assert rows(workspace, capsys)["sums"] == "passed 2/2 changed since: grade again"
    (workspace.learner / STAGE / ANSWERS).write_text("[sums]\ncount = \n")
    assert "cannot be read" in rows(workspace, capsys)[f"{ANSWERS}"]


def test_paper_is_the_next_step_once_the_code_is_done(workspace, capsys):
    write_paper(workspace, essay="Because.")
    grade_paper(workspace)
    passed = {"outcome": "passed", "earned": 2.0, "door": [], "sources": {}}
    status.ledger.save_results(workspace.learner, STAGE, {"double": passed, "greet": passed})
    assert "answer [sums] in answers.toml" in rows(workspace, capsys)["next"]
    write_paper(workspace, sums="7", sizes="7", essay="Because.")
    grade_paper(workspace)
    assert rows(workspace, capsys)["next"] == "make a1 IMPL=learner"
