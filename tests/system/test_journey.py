"""The whole way at SCALE=tiny: every program of `make toy`, its artifacts, and what happens when it is run again."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from a2_systems.configs import MEASURE_STRATEGIES
from shared import journey
from shared.errors import ConfigError
from shared.store.artifacts import Store
from shared.store.kinds import read_eval_report, read_report, read_runs, read_samples

ROOT = Path(__file__).resolve().parents[2]
TINY = "toy-tiny"
pytestmark = pytest.mark.timeout(900)  # a journey of thirteen programs, beside whatever else the machine does
KERNELS = {"attention by tiles", "Triton attention", "Triton RMSNorm", "last layer and loss"}


def travel(folder: Path, *flags: str, name: str = "toy") -> subprocess.CompletedProcess[str]:
    """Run `shared.journey` as `make toy` does, its places under `folder`."""
    places = ["--store", str(folder / "artifacts"), "--runs", str(folder / "runs")]
    command = [sys.executable, "-m", "shared.journey", name, "--scale", "tiny", *places, *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def travelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("journey with a space")
    done = travel(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_every_step_leaves_its_artifact_and_the_page_knows_its_origins(travelled):
    store = Store(travelled[0] / "artifacts")
    report = store.open(TINY, "Report")
    kinds = {artifact.kind for artifact in store.lineage(report)}
    assert kinds == {"Checkpoint", "EvalReport", "Samples", "RunLog", "Shards", "Tokenizer", "Corpus"}
    page = read_report(report).read_text(encoding="utf-8")
    [sample, *_] = read_samples(store.open(TINY, "Samples"))
    first_words = " ".join(sample["text"].split()[:2])
    assert TINY in page
    assert first_words.isascii() is False or first_words.split()[0][:3] in page


def test_the_model_learned_something_and_the_floor_lies_below_it(travelled):
    report = read_eval_report(Store(travelled[0] / "artifacts").open(TINY, "EvalReport"))
    # log(512) = 6.24 nats is a guess. Sixty steps come below 5, and no model passes the entropy of the source.
    assert report["floor_nats_per_token"] < report["nats_per_token"] < 5.2
    assert report["floor_bits_per_byte"] < report["bigram_bits_per_byte"]


def test_the_same_again_is_recognised_step_by_step(travelled):
    folder, _ = travelled
    again = travel(folder)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("unchanged:") == len(journey.journey("toy", "tiny", None))


def test_two_ranks_train_what_one_trains_and_stage_twos_page_shows_all_of_it(travelled):
    """By torchrun, as two processes: a step of stage 2's journey fails where losses differ, or a kernel is wrong."""
    folder, _ = travelled
    done = travel(folder, name="a2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same training" in done.stdout
    store = Store(folder / "artifacts")
    rows, _ = read_runs(store.open("a2-tiny", "Runs"))
    assert [row["strategy"] for row in rows] == ["single", "bucketed", "fsdp"]
    assert all(row["losses_compared"] == rows[0]["losses_compared"] > 10 for row in rows)
    kernels, _ = read_runs(store.open("a2-tiny-kernels", "Runs"))
    assert {row["kernel"] for row in kernels} == KERNELS
    page = read_report(store.open("a2-tiny", "Report")).read_text(encoding="utf-8")
    headings = (
        "Two ranks = one rank",
        "Kernels against the oracle",
        "Ways of spreading",
        "What would fit",
        "Time",
    )
    for heading in (*headings, "Memory", "Operators", "Roofline", "Attention"):
        assert f"<h2>{heading}</h2>" in page
    assert "src=" not in page.replace('src="measured/cost.js"', "")  # nothing is loaded from elsewhere


def test_stage_twos_share_of_the_toy_compares_ranks_kernels_and_strategies(travelled):
    folder, printed = travelled
    store = Store(folder / "artifacts")
    assert "the same training" in printed
    rows, _ = read_runs(store.open(f"{TINY}-systems", "Runs"))
    assert [row["strategy"] for row in rows] == ["single", "fsdp"]
    kernels, _ = read_runs(store.open(f"{TINY}-systems-kernels", "Runs"))
    assert {row["kernel"] for row in kernels} == KERNELS
    assert {row["outcome"] for row in kernels} == {"right"}
    spread, _ = read_runs(store.open(f"{TINY}-systems-strategies", "Runs"))
    assert [row["run"] for row in spread] == list(MEASURE_STRATEGIES["tiny"].strategies)
    page = read_report(store.open(f"{TINY}-systems", "Report"))
    assert f"open in a browser: {page}" in printed


def test_a_student_release_goes_without_what_shows_the_reference(monkeypatch, capsys):
    monkeypatch.setattr(journey, "is_release", lambda root: True)
    monkeypatch.setattr(journey, "lacking", lambda programs: [])
    assert journey.main(["toy", "--scale", "tiny", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "a2_systems" not in printed
    assert "left out, as a student release holds no solutions: on one rank, " in printed
    assert printed.count("python -m") == sum(
        not step.shows_reference for step in journey.journey("toy", "tiny", None)
    )


def test_the_printed_commands_are_the_ones_that_ran(travelled):
    folder, printed = travelled
    commands = [line.removeprefix("$ ") for line in printed.splitlines() if line.startswith("$ ")]
    assert len(commands) == len(journey.journey("toy", "tiny", None))
    assert all(command.startswith("python -m ") for command in commands)
    assert all(str(folder / "artifacts") in command for command in commands)


def test_a_step_that_fails_stops_the_journey_with_its_status(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    done = travel(tmp_path, "--text", str(tmp_path / "empty.txt"))
    assert done.returncode == 2
    assert "stopped at step 1" in done.stdout
    assert "empty.txt" in done.stderr


def test_the_study_compares_tokenizers_on_stories_and_on_real_text(travelled):
    """The sweep's steps of the study, on the corpus that the toy's journey left; only the reference takes them."""
    options = journey.arguments().parse_args(["a1-study", "--impl", "learner", "--store", "artifacts"])
    steps = journey.journey("a1-study", "tiny", None)
    [first] = [at for at, step in enumerate(steps) if step.purpose == "real text: code and prose"]
    for step in steps[first : first + 3]:
        program, flags = journey.command(step, options)
        assert "--impl" not in flags
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", program, *flags]
        done = subprocess.run(
            command, cwd=travelled[0], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    store = Store(travelled[0] / "artifacts")
    page = read_report(store.open("a1-study-tiny-tokenizers", "Report")).read_text(encoding="utf-8")
    assert all(word in page for word in (TINY, "python_library", "qwen2", "Korean"))
    kinds = [artifact.kind for artifact in store.lineage(store.open("a1-study-tiny-tokenizers", "Report"))]
    assert sorted(kinds) == ["Corpus", "Corpus", "Runs"]


def test_the_ladder_reads_the_plays_unless_there_is_a_text_of_ones_own(tmp_path):
    def ladder_corpus(text):
        steps = journey.journey("a1-study", "toy", text)
        fetches = sum(step.program == "shared.corpora.fetch" for step in steps)
        [characters] = [step.flags for step in steps if "chars" in step.flags]
        return fetches, characters[characters.index("--corpus") + 1]

    assert ladder_corpus(None) == (1, "tinyshakespeare")
    assert ladder_corpus(str(tmp_path)) == (0, "toy-text")


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")  # they run in this process
def test_every_program_of_the_study_on_one_gpu_takes_its_flags(monkeypatch, capsys):
    """Each printed command, with --dry-run: the presets are there, and the flags are settings of them."""
    options = journey.arguments().parse_args(["a1-study", "--scale", "one_gpu"])
    commands = [journey.command(step, options) for step in journey.journey("a1-study", "one_gpu", None)]
    known = set(journey.EXPERIMENTS) | {"train_lm", "ladder", "tokenizer_sweep"}
    dry = [(program, flags) for program, flags in commands if program.rpartition(".")[2] in known]
    assert {program.rpartition(".")[2] for program, _ in dry if "a1_basics" in program} == known
    for program, flags in dry:
        monkeypatch.setattr(sys, "argv", [program, *flags, "--dry-run"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        said = capsys.readouterr()
        assert ended.value.code == 0, said.err
        if "a1_basics.run" in program:
            assert "H100-class" in said.out


def test_what_a_student_release_leaves_out_is_shown_as_lent(monkeypatch, capsys):
    study = [step.program for step in journey.journey("a1-study", "tiny", None)]
    monkeypatch.setattr(
        journey, "lacking", lambda programs: [name for name in programs if "ladder" in name and "run" in name]
    )
    assert journey.main(["a1-study", "--scale", "tiny", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("python -m shared.doors.lend a1_basics.run.ladder --preset tiny") == 1
    assert printed.count("shared.doors.lend") == study.count("a1_basics.run.ladder")

    def refused(programs):
        raise ConfigError("a student release leaves out a program")

    monkeypatch.setattr(journey, "lacking", refused)
    assert journey.main(["a1-study"]) == 2
    assert "leaves out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "scale", "text", "word"),
    [
        ("toi", "toy", None, "did you mean 'toy'"),
        ("toy", "tony", None, "did you mean"),
        ("toy", "toy", "no/such/folder", "TEXT=no/such/folder"),
    ],
)
def test_a_mistyped_journey_finds_its_neighbour(name, scale, text, word):
    with pytest.raises(ConfigError, match=word):
        journey.journey(name, scale, text)


@pytest.mark.parametrize(
    ("name", "scale"), [(name, scale) for name in journey.SIZES for scale in journey.SIZES[name]]
)
def test_every_journey_names_presets_that_exist(name, scale):
    from a1_basics import studies
    from a1_basics.configs import EVALUATE_LM, GENERATE, LADDER_RUNS, TOKENIZER_SWEEP, TRAIN_LM
    from a2_systems import configs as systems
    from shared.corpora.make import PRESETS as CORPORA

    known = {"train_lm": TRAIN_LM, "evaluate_lm": EVALUATE_LM, "generate": GENERATE, "ladder": LADDER_RUNS}
    known |= {"tokenizer_sweep": TOKENIZER_SWEEP, "make": CORPORA, "train_parallel": systems.TRAIN_PARALLEL}
    known |= {"plan": systems.PLAN, "measure_step": systems.MEASURE_STEP}
    known |= {"measure_strategies": systems.MEASURE_STRATEGIES}
    known |= {"measure_attention": systems.MEASURE_ATTENTION, "measure_compile": systems.MEASURE_COMPILE}
    known |= {experiment: getattr(studies, experiment.upper()) for experiment in journey.EXPERIMENTS}
    for step in journey.journey(name, scale, None):
        program = step.program.rsplit(".", 1)[1]
        if "--preset" in step.flags:
            assert step.flags[step.flags.index("--preset") + 1] in known[program]
