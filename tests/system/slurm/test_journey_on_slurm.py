"""`make toy LAUNCH=slurm` on the virtual cluster: the artifacts of a journey made here, even if a job is cancelled."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import journey
from shared.store.artifacts import Store
from tests.system.slurm.cluster import missing_programs

ROOT = Path(__file__).resolve().parents[3]
MISSING = missing_programs()
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not checked: Slurm is not installed ({', '.join(MISSING)})"),
    pytest.mark.timeout(900),  # two journeys of seven programs, beside whatever else the machine does
]
KINDS = ("Corpus", "Tokenizer", "Shards", "Checkpoint", "RunLog", "EvalReport", "Samples", "Report")

# What Python imports first in every job: it stops the training behind its first checkpoint, until the test saw that.
STOPS_TRAINING = """
import sys, threading
from pathlib import Path
if "a1_basics.run.train_lm" in sys.orig_argv and not Path({seen!r}).exists():
    from a1_basics import adapters
    plain = adapters.run_get_batch
    def run_get_batch(*arguments, **named):
        if list(Path({runs!r}).glob("*/checkpoints/*/state.json")):
            threading.Event().wait()
        return plain(*arguments, **named)
    adapters.run_get_batch = run_get_batch
"""


def travel(folder: Path, *flags: str) -> subprocess.Popen[str]:
    places = ["--store", str(folder / "artifacts"), "--runs", str(folder / "runs")]
    command = [sys.executable, "-m", "shared.journey", "toy", "--scale", "tiny", *places, *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def digests(folder: Path) -> dict[str, str]:
    store = Store(folder / "artifacts")
    return {kind: store.open("toy-tiny", kind).digest for kind in KINDS}


def test_journey_whose_training_is_cancelled_goes_on_to_the_artifacts_of_one_that_ran_here(cluster, tmp_path):
    here, there, seen = tmp_path / "here", tmp_path / "there", tmp_path / "seen"
    first = tmp_path / "first"
    first.mkdir()
    stops = STOPS_TRAINING.format(seen=str(seen), runs=str(there / "runs"))
    (first / "sitecustomize.py").write_text(stops)
    site = tmp_path / "site.toml"
    site.write_text(f"setup = [\"export PYTHONPATH='{first}:{ROOT}'\"]\n")
    flags = ("--launch", "slurm", "--cores", "1", "--memory-gb", "2", "--site", str(site))

    with travel(there, *flags) as journeying:
        checkpoints = (there / "runs").glob
        cluster.wait_for("a checkpoint", lambda: any(checkpoints("*/checkpoints/*/state.json")), 600)
        seen.touch()
        cluster.run("scancel", "--name=train_lm")
        out, error = journeying.communicate()
    assert journeying.returncode == 1
    assert "ended as CANCELLED and left no status; its log:" in error
    assert "stopped at step 4 (a language model); the same command goes on from here" in out

    with travel(there, *flags) as journeying:
        out, error = journeying.communicate()
    assert journeying.returncode == 0, out + error
    assert out.count("unchanged:") == 3, "corpus, tokenizer and token ids were there"
    [sessions] = (there / "runs").glob(f"toy-tiny-{12 * '?'}/sessions.jsonl")
    began = [
        json.loads(line)["resumed_step"] for line in sessions.read_text().splitlines() if "started" in line
    ]
    assert began[0] is None
    assert began[-1] > 0
    assert out.count(" runs on n") >= len(journey.journey("toy", "tiny", None)) - 3

    with travel(here) as journeying:
        out, error = journeying.communicate()
    assert journeying.returncode == 0, out + error
    assert digests(there) == digests(here)
