"""Numbers and texts: templates that never overwrite, files that are read as plain data, verdicts on both."""

import re
import tomllib
from pathlib import Path

import pytest

from shared.doors.exercise import Exercise, Question
from shared.doors.paper import (
    ANSWERS,
    WRITEUP,
    Answers,
    read_answers,
    read_writeup,
    write_answers,
    write_writeup,
)
from shared.store.artifacts import Store
from shared.store.kinds import read_tokenizer, trained_tokenizer, write_corpus, write_tokenizer
from tests.harness import keys
from tests.harness.answers import Paper, judge_answers, load_keys, written
from tests.harness.grading import Known
from tests.harness.mutants import has_own_answers, judged, trials
from tests.harness.outcomes import Outcome, ProblemGrade
from tests.harness.workspace import Workspace
from tests.oracles import bpe
from tests.oracles.own_tokenizer import num_tokens

STAGE = "a1_basics"
WORKSPACE = Workspace()
COUNT = Question("count", "How many?", "things")
SHARE = Question("share", "Which part?", "per cent", slack=0.1)
LISTED = (
    Exercise(id="sums", title="Sums", points=2, kind="numeric", questions=(COUNT, SHARE)),
    Exercise(
        id="essay", title="Tell why", points=1, kind="written", deliverable="a line", rubric=("It says why.",)
    ),
)
CHECKS = {
    "count": keys.number(lambda _: 4321, {"one too many": lambda _: 4322}),
    "share": keys.number(lambda _: 12.5),
}


def graded(text: str | None, tmp_path: Path) -> ProblemGrade:
    path = tmp_path / ANSWERS
    if text is not None:
        path.write_text(text, encoding="utf-8")
    answers = read_answers(path if text is not None else None, LISTED)
    return judge_answers(LISTED[0], answers, lambda: CHECKS, tmp_path, STAGE)


def test_template_holds_every_question_unanswered_and_is_never_overwritten(tmp_path):
    path = tmp_path / ANSWERS
    assert write_answers(path, STAGE, LISTED[:1]) == ["sums.count", "sums.share"]
    assert tomllib.loads(path.read_text()) == {"sums": {"count": "", "share": ""}}
    mine = path.read_text().replace('count = ""', "count = 7  # counted twice")
    path.write_text(mine)
    assert write_answers(path, STAGE, LISTED[:1]) == []
    assert path.read_text() == mine

    grown = Exercise(
        id="sums",
        title="Sums",
        points=2,
        kind="numeric",
        questions=(COUNT, SHARE, Question("rest", "?", "m")),
    )
    other = Exercise(id="more", title="More", points=1, kind="numeric", questions=(COUNT,))
    assert write_answers(path, STAGE, [other, grown]) == ["more.count", "sums.rest"]
    assert tomllib.loads(path.read_text()) == {
        "sums": {"count": 7, "share": "", "rest": ""},
        "more": {"count": ""},
    }
    assert "# counted twice" in path.read_text()


def test_writeup_gets_new_sections_and_keeps_what_was_written(tmp_path):
    path = tmp_path / WRITEUP
    assert write_writeup(path, STAGE, LISTED) == ["essay"]
    assert read_writeup(path, LISTED) == {"essay": ""}
    assert "full points: It says why." in path.read_text()
    path.write_text(path.read_text() + "Because.\n\n## An own heading\n\nand more\n")
    before = path.read_text()
    assert write_writeup(path, STAGE, LISTED) == []
    assert path.read_text() == before
    assert read_writeup(path, LISTED) == {"essay": "Because.\n\n## An own heading\n\nand more"}


@pytest.mark.parametrize(
    ("text", "outcome", "said"),
    [
        (None, Outcome.NOT_STARTED, "make learn"),
        ("", Outcome.NOT_STARTED, "write [sums]"),
        ('[sums]\ncount = ""\nshare = ""\n', Outcome.NOT_STARTED, "2 answers to give"),
        ("[sums]\ncount = 4321\nshare = 12.5\n", Outcome.PASSED, "2 of 2"),
        ("[sums]\ncount = 4321.0\nshare = 12.59\n", Outcome.PASSED, "2 of 2"),
        ("[sums]\ncount = 4321\n", Outcome.FAILED, "still to give: share"),
        ("[sums]\ncount = 4322\nshare = 12.5\n", Outcome.FAILED, "wrong: count"),
        ("[sums]\ncount = 4321\nshare = 12.7\n", Outcome.FAILED, "wrong: share"),
        ("[sums]\ncount = \n", Outcome.ERROR, "line 2"),
        ("[sums]\ncount = 1\ncount = 2\n", Outcome.ERROR, "cannot be read"),
        ("[sums]\ncuont = 4321\n", Outcome.ERROR, "'cuont'"),
        ("[sum]\ncount = 4321\n", Outcome.ERROR, "'sum'"),
        ("sums = 4321\n", Outcome.ERROR, "'sums'"),
        ("[sums]\ncount = " + "9" * 5000 + "\n", Outcome.ERROR, "cannot be read"),
        ("x = " + "[" * 100_000 + "\n", Outcome.ERROR, "answers.toml"),
        ("#" * (1 << 20) + "\n", Outcome.ERROR, "at most"),
    ],
)
def test_outcomes_of_a_file(text, outcome, said, tmp_path):
    grade = graded(text, tmp_path)
    assert grade.outcome is outcome
    assert said in grade.message
    assert grade.earned == (2 if outcome is Outcome.PASSED else 0)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"4321"', "without quotes"),
        ('"4320+1"', "without quotes"),
        ("true", "no number"),
        ("[4321]", "no number"),
        ("1979-05-27", "no number"),
        ("nan", "not a finite number"),
        ("inf", "not a finite number"),
        ("1" + "0" * 400, "beyond"),
        ("4322", "one too many"),
        ("4.321", "power of ten"),
        ("8642", "factor of two"),
        ("17", keys.NO_GUESS),
    ],
)
def test_feedback_names_the_mistake_and_not_the_number(value, said, tmp_path):
    grade = graded(f"[sums]\ncount = {value}\nshare = 12.5\n", tmp_path)
    assert grade.outcome is Outcome.FAILED
    assert grade.failure is not None
    assert said in grade.failure.counterexample
    shown = grade.failure.counterexample.partition("\n")[2] + grade.message
    assert "4321" not in shown


def test_share_given_as_a_fraction_is_told_so(tmp_path):
    grade = graded("[sums]\ncount = 4321\nshare = 0.125\n", tmp_path)
    assert grade.failure is not None
    assert "a whole has a hundred" in grade.failure.counterexample


def test_files_that_are_no_files_are_errors(tmp_path):
    (tmp_path / ANSWERS).mkdir()
    assert "no plain file" in read_answers(tmp_path / ANSWERS, LISTED).trouble
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"[sums]\ncount = \xff\n")
    assert "cannot be read" in read_answers(path, LISTED).trouble
    assert read_writeup(tmp_path / ANSWERS, LISTED) is None


def test_a_broken_key_is_an_error_and_no_verdict(tmp_path):
    answers = Answers({"sums": {"count": 4321, "share": 12.5}}, is_there=True)

    def broken(answer, given):
        raise ZeroDivisionError("of the key")

    for load in (lambda: {}, lambda: 1 / 0, lambda: {**CHECKS, "share": broken}):
        grade = judge_answers(LISTED[0], answers, load, tmp_path, STAGE)
        assert grade.outcome is Outcome.ERROR
        assert grade.earned == 0


def test_written_answers_wait_for_a_person_unless_their_numbers_are_wrong():
    essay, right = LISTED[1], ProblemGrade("essay", "", 1, Outcome.PASSED, message="2 of 2")
    wrong = ProblemGrade("essay", "", 1, Outcome.FAILED)
    assert written(essay, None, None).outcome is Outcome.NOT_CHECKED
    assert written(essay, "", None).outcome is Outcome.NOT_STARTED
    assert written(essay, "text", None).outcome is Outcome.NOT_CHECKED
    assert "2 of 2" in written(essay, "text", right).message
    assert written(essay, "", right).outcome is Outcome.NOT_STARTED
    assert written(essay, "text", wrong).outcome is Outcome.FAILED
    assert written(essay, "text", right).earned == 0


# The keys of stage 1.

EXERCISES = {e.id: e for e in WORKSPACE.exercises(STAGE)}
ASKED = [e for e in EXERCISES.values() if e.questions]


@pytest.mark.parametrize("exercise", ASKED, ids=lambda e: e.id)
def test_every_question_has_a_check_and_no_other(exercise):
    checks = load_keys(WORKSPACE.key_file(STAGE, exercise.id)).CHECKS
    assert set(checks) == {question.id for question in exercise.questions}


def test_every_key_file_belongs_to_a_problem():
    files = {path.stem.removeprefix("key_") for path in (WORKSPACE.root / "tests" / STAGE).glob("key_*.py")}
    assert files == {exercise.id for exercise in ASKED}


@pytest.mark.parametrize("exercise", [e for e in ASKED if has_own_answers(e)], ids=lambda e: e.id)
def test_wrong_answers_are_rejected_by_the_question_they_name(exercise):
    known = tomllib.loads((WORKSPACE.root / STAGE / ANSWERS).read_text())[exercise.id]
    listed = [t for t in trials(WORKSPACE, STAGE, (exercise,)) if t.problem == exercise.id]
    assert sum(t.kind == "mutant" for t in listed) >= (8 if exercise.points >= 3 else 3)
    assert sum(t.kind == "alternative" for t in listed) >= 3
    told = 0
    for trial in listed:
        grade = judged(WORKSPACE, STAGE, exercise, trial)
        if trial.kind != "mutant":
            assert grade.outcome is Outcome.PASSED, (trial.name, grade.message)
            continue
        row = {t.id: t for t in grade.tests}[trial.rejected_by]
        assert row.outcome in ("failed", "missing"), trial.name
        if row.lesson is not None:
            said = row.lesson.counterexample.partition("\n")[2]
            told += said != keys.NO_GUESS
            given_away = re.findall(r"\d[\d_.,]*\d", said)
            assert str(known[trial.rejected_by]).replace("_", "") not in given_away, trial.name
    assert told >= 3


def test_written_problems_say_what_is_asked_and_what_full_points_need():
    for exercise in EXERCISES.values():
        if exercise.kind == "written":
            assert exercise.deliverable, exercise.id
            assert exercise.why, exercise.id
            assert len(exercise.rubric) >= 2, exercise.id


# Numbers about the learner's own artifacts.

MERGES = [(b"t", b"h"), (b"th", b"e"), (b" ", b"the"), (b"a", b"b"), (b"a", b"a")]
TEXTS = ["the tha abab aaaa", " the the\n\nthe", "naïve 🙂 the"]


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "artifacts")
    end = "<|endoftext|>"
    for name, merges in (("mine", MERGES), ("other", MERGES[:1])):
        tokens = [
            *(bytes([byte]) for byte in range(256)),
            end.encode(),
            *(left + right for left, right in merges),
        ]
        with made.draft("Tokenizer", config={"merges": len(merges)}, parents={}, name=name) as draft:
            write_tokenizer(draft, trained_tokenizer(dict(enumerate(tokens)), merges, [end]))
    with made.draft("Corpus", config={}, parents={}, name="mine") as draft:
        write_corpus(draft, {"train": TEXTS, "val": TEXTS})
    return made


def test_slow_encoder_counts_as_the_oracle_does(store):
    files = read_tokenizer(store.open("mine", "Tokenizer"))
    for text in [*TEXTS, "aaaaa ab<|endoftext|>the", ""]:
        assert num_tokens(text, files) == len(bpe.encode_to_tokens(text, MERGES, ["<|endoftext|>"]))


def experiments(store: Store, **changed: object) -> ProblemGrade:
    num_bytes = sum(len(text.encode()) for text in TEXTS)
    tokens = {n: sum(len(bpe.encode_to_tokens(t, MERGES[:n], [])) for t in TEXTS) for n in (5, 1)}
    answers = {
        "corpus": "mine",
        "tokenizer": "mine",
        "bytes_per_token": num_bytes / tokens[5],
        "other_tokenizer": "other",
        "other_bytes_per_token": num_bytes / tokens[1],
        "megabytes_per_second": 2.5,
        "pile_hours": 825e9 / 2.5e6 / 3600,
        "largest_uint16_vocab": 65536,
        **changed,
    }
    exercise = EXERCISES["tokenizer_experiments"]
    checks = load_keys(WORKSPACE.key_file(STAGE, exercise.id)).CHECKS
    return judge_answers(
        exercise, Answers({exercise.id: answers}, is_there=True), lambda: checks, store.root, STAGE
    )


@pytest.mark.parametrize(
    ("changed", "outcome", "said"),
    [
        ({}, Outcome.PASSED, "8 of 8"),
        ({"bytes_per_token": 1.0}, Outcome.FAILED, "wrong: bytes_per_token"),
        ({"other_bytes_per_token": 9.0}, Outcome.FAILED, "wrong: other_bytes_per_token"),
        ({"other_tokenizer": "mine"}, Outcome.FAILED, "other_tokenizer"),
        ({"pile_hours": 330000.0}, Outcome.FAILED, "wrong: pile_hours"),
        ({"largest_uint16_vocab": 65535}, Outcome.FAILED, "wrong: largest_uint16_vocab"),
        ({"megabytes_per_second": -1}, Outcome.FAILED, "megabytes_per_second"),
        ({"tokenizer": "elsewhere"}, Outcome.NOT_CHECKED, "elsewhere"),
        ({"corpus": "elsewhere"}, Outcome.NOT_CHECKED, "elsewhere"),
        ({"corpus": 3}, Outcome.FAILED, "wrong: corpus"),
    ],
)
def test_numbers_about_own_artifacts(store, changed, outcome, said):
    grade = experiments(store, **changed)
    assert grade.outcome is outcome, grade.message
    assert said in grade.message


def test_damaged_artifact_is_never_a_pass(store):
    (store.open("mine", "Tokenizer").path / "vocab.json").write_text("[]")
    assert experiments(store).outcome is Outcome.NOT_CHECKED


def test_longest_token_is_looked_up(store):
    exercise = EXERCISES["train_bpe_tinystories"]
    checks = load_keys(WORKSPACE.key_file(STAGE, exercise.id)).CHECKS
    for length, outcome in (
        (4, Outcome.PASSED),
        (13, Outcome.FAILED),
    ):  # " the", and not the end-of-text mark
        answers = Answers({exercise.id: {"tokenizer": "mine", "longest_token_bytes": length}}, is_there=True)
        assert judge_answers(exercise, answers, lambda: checks, store.root, STAGE).outcome is outcome


def test_reference_answers_every_number_right():
    from shared.doors.load import locate

    source = locate(STAGE, "reference")
    paper = Paper(WORKSPACE, STAGE, source)
    for exercise in ASKED:
        if has_own_answers(exercise):
            assert paper.numbers(exercise).outcome is Outcome.PASSED
    assert (
        Known(WORKSPACE, STAGE, source, []).verdict(EXERCISES["adamw_accounting"]).outcome is Outcome.PASSED
    )
