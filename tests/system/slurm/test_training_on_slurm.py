"""Training on a real Slurm, disturbed and brought to the weights of one that was left alone: on one node and on two."""

import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from shared.runs import slurm
from shared.runs.launch import Command, Launch, launch
from tests.system.slurm.cluster import members_of, missing_programs
from tests.system.torture import programs

ROOT = Path(__file__).resolve().parents[3]
MISSING = missing_programs()
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not checked: Slurm is not installed ({', '.join(MISSING)})"),
    pytest.mark.timeout(
        900
    ),  # the first training on a machine compiles for a minute, and others may work beside us
]
TRAIN = "tests.system.slurm.training"
STEPS = 24


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    programs.prepare(folder)
    return folder


def training(folder: Path) -> Command:
    flags = "train_lm --preset tiny --shards tiny --name tiny --precision float32 --device cpu"
    flags += " --checkpoint-every-steps 5 --evaluate-every-steps 50"
    flags += f" --steps {STEPS} --store {folder}/artifacts --runs {folder}/runs"
    return Command(TRAIN, tuple(flags.split()))


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    folder = copied(prepared, tmp_path_factory.mktemp("whole") / "run")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(training(folder).argv(), cwd=ROOT, env=environment, check=True)
    return programs.outcome(folder)


def copied(prepared: Path, folder: Path) -> Path:
    subprocess.run(["cp", "-r", str(prepared), str(folder)], check=True)
    return folder


def wait_until_held(cluster, folder: Path, life: int = 0) -> None:
    cluster.wait_for(f"training to stand still in life {life}", (folder / f"held-{life}").exists)


def sessions(folder: Path) -> list[tuple[str, int | None]]:
    """What became of each start: (started, resumed step), (stopped or finished, step)."""
    [path] = (folder / "runs").glob("*/sessions.jsonl")
    said = [json.loads(line) for line in path.read_text().splitlines()]
    return [(one["what"], one["resumed_step" if one["what"] == "started" else "step"]) for one in said]


def preempt(cluster, node: str) -> str:
    """An urgent job that wants a whole node."""
    return cluster.run(
        "sbatch", "--parsable", "--partition=high", f"--nodelist={node}", "--exclusive", "--mem=1900",
        "--output=/dev/null", "--wrap=true",
    ).strip()  # fmt: skip


def test_preempted_training_is_queued_again_and_ends_bit_equal(cluster, how, prepared, undisturbed, tmp_path):
    folder = copied(prepared, tmp_path / "run")
    [job] = slurm.submit([training(folder)], how)
    wait_until_held(cluster, folder)
    urgent = preempt(cluster, cluster.nodes_of(job.id)[0])
    assert slurm.Waiting([job], how).statuses(show=False) == [0]
    cluster.wait_for("the urgent job's end", lambda: cluster.state_of(urgent) == "COMPLETED")
    assert cluster.restarts_of(job.id) == 1
    assert sessions(folder) == [("started", None), ("stopped", 8), ("started", 8), ("finished", STEPS)], (
        "it saved the step at which it was warned, not only its checkpoints"
    )
    assert programs.differences(undisturbed, programs.outcome(folder)) == []


def test_training_on_a_node_that_dies_goes_on_elsewhere(cluster, how, prepared, undisturbed, tmp_path):
    folder = copied(prepared, tmp_path / "run")
    [job] = slurm.submit([training(folder)], how)
    wait_until_held(cluster, folder)
    node = cluster.nodes_of(job.id)[0]
    cluster.kill(node)
    try:
        assert slurm.Waiting([job], how).statuses(show=False) == [0]
        assert cluster.restarts_of(job.id) >= 1
    finally:
        cluster.start(node)
    assert sessions(folder)[:2] == [("started", None), ("started", 5)], "from the last checkpoint"
    assert programs.differences(undisturbed, programs.outcome(folder)) == []


def parallel_training(folder: Path) -> Command:
    flags = "train_parallel --preset tiny --strategy fsdp --shards tiny --name spread --precision float32 --device cpu"
    flags += f" --steps {STEPS} --store {folder}/artifacts --runs {folder}/runs"
    return Command(TRAIN, tuple(flags.split()))


def pid_of_rank(cluster, rank: int) -> int:
    """The process of a rank in a job; what it has started came later."""
    return min(pid for pid, variables in members_of(cluster.root).items() if f"RANK={rank}" in variables)


def test_ranks_on_two_nodes_stop_together_and_are_queued_again_as_one_job(cluster, how, prepared, tmp_path):
    """A signal to the second node's rank, then a pre-emption: all save, and the first node asks for the rest."""
    whole, folder = copied(prepared, tmp_path / "whole"), copied(prepared, tmp_path / "run")
    assert launch([parallel_training(whole)], Launch("torchrun", ranks=2)) == [0]
    (folder / "lives-held").write_text("2")
    how = replace(how, nodes=2)
    [job] = slurm.submit([parallel_training(folder)], how)

    wait_until_held(cluster, folder)
    os.kill(pid_of_rank(cluster, 1), signal.SIGTERM)
    (folder / "go-on-0").touch()
    wait_until_held(cluster, folder, life=1)
    urgent = preempt(cluster, cluster.nodes_of(job.id)[1])
    assert slurm.Waiting([job], how).statuses(show=False) == [0]

    cluster.wait_for("the urgent job's end", lambda: cluster.state_of(urgent) == "COMPLETED")
    assert cluster.restarts_of(job.id) == 2
    lives = [("started", None), ("stopped", 8), ("started", 8), ("stopped", 16), ("started", 16)]
    assert sessions(folder) == [*lives, ("finished", STEPS)]
    assert "rank 0 of 2: stopped by SIG" in job.log.read_text(), (
        "what the first rank says is in the log that is shown"
    )
    assert programs.differences(programs.outcome(whole), programs.outcome(folder)) == []
