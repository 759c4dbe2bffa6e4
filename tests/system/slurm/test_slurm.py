"""Programs on a real Slurm of four virtual nodes: arrays, pre-emption, time limits, dead nodes, a dead controller."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import ConfigError
from shared.runs import slurm
from shared.runs.launch import Command, Launch, Site, array, launch
from tests.system.slurm.cluster import missing_programs, virtual_cluster
from tests.system.torture import programs

ROOT = Path(__file__).resolve().parents[3]
MISSING = missing_programs()
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not checked: Slurm is not installed ({', '.join(MISSING)})"),
    pytest.mark.timeout(300),
]
PLACE = "tests.system.slurm.job"
TRAIN = "tests.system.slurm.training"
STEPS = 120
names = (f"job{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    before = dict(os.environ)
    with virtual_cluster(tmp_path_factory.mktemp("slurm")) as running:
        os.environ.update(running.environment)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.environ["OMP_NUM_THREADS"] = "1"
        yield running
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def how(cluster, tmp_path):
    """A small job; the virtual nodes have two cores and 2 GB each."""
    yield Launch("slurm", memory_gb=1.5, cores=1, minutes=5, grace_seconds=30, folder=tmp_path / "launch")
    cluster.run("scancel", "--state=PENDING", "--state=RUNNING", f"--user={os.getuid()}")


def place(folder: Path, *flags: str) -> Command:
    return Command(PLACE, ("--folder", str(folder), *flags))


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "said.jsonl").read_text().splitlines()]


def test_array_runs_every_command_a_few_at_a_time_each_with_its_own_log(how, tmp_path, capfd):
    commands = array(place(tmp_path, "--name", "x", "--seconds", "0.5"), {"value": ["1", "2", "3", "4"]})
    how = Launch(**{**vars(how), "at_most": 2, "gpus": 1})
    jobs = slurm.submit(commands, how)
    assert slurm.Waiting(jobs, how).statuses(show=False) == [0, 0, 0, 0]
    said = sorted(lines(tmp_path), key=lambda one: one["value"])
    assert [one["value"] for one in said] == ["1", "2", "3", "4"]
    assert all(one["gpus"] in ("0", "1") for one in said), "each job sees the one GPU it asked for"
    moments = sorted([(one["began"], 1) for one in said] + [(one["ended"], -1) for one in said])
    assert max(itertools.accumulate(change for _, change in moments)) <= 2
    for job, value in zip(jobs, "1234", strict=True):
        assert f"value {value}" in job.log.read_text()


def test_one_job_shows_its_output_and_gives_its_status(how, tmp_path, capfd):
    assert launch([place(tmp_path, "--status", "7")], how) == [7]
    assert "this is the job speaking" in capfd.readouterr().out


def test_what_slurm_refuses_is_quoted(how, tmp_path):
    wrong = Launch(**{**vars(how), "site": Site(partition="nowhere")})
    with pytest.raises(ConfigError, match=r"(?s)refused.*invalid partition.*site\.toml"):
        launch([place(tmp_path)], wrong)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    programs.prepare(folder)
    return folder


def training(folder: Path) -> Command:
    flags = (
        "--preset tiny --shards tiny --name tiny --precision float32 --device cpu --checkpoint-every-steps 5"
    )
    flags += f" --evaluate-every-steps 50 --steps {STEPS} --store {folder}/artifacts --runs {folder}/runs"
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


def has_checkpoint(folder: Path) -> bool:
    return any((folder / "runs").glob("*/checkpoints/*/state.json"))


def running_node(cluster, job: slurm.Job) -> str:
    return cluster.run("squeue", "--noheader", "--jobs", job.id, "--format=%N").strip()


def restarts(cluster, job: slurm.Job) -> int:
    text = cluster.run("scontrol", "-o", "show", "job", job.id)
    return int(text.partition("Restarts=")[2].split()[0])


def test_preempted_training_is_queued_again_and_ends_bit_equal(cluster, how, prepared, undisturbed, tmp_path):
    folder = copied(prepared, tmp_path / "run")
    [job] = slurm.submit([training(folder)], how)
    cluster.wait_for("a checkpoint", lambda: has_checkpoint(folder))
    node = running_node(cluster, job)
    urgent = cluster.run(
        "sbatch", "--parsable", "--partition=high", f"--nodelist={node}", "--exclusive", "--mem=1900",
        "--output=/dev/null", "--wrap=true",
    ).strip()  # fmt: skip
    assert slurm.Waiting([job], how).statuses(show=False) == [0]
    assert cluster.state_of(urgent) == "COMPLETED"
    assert restarts(cluster, job) >= 1
    assert "stopped by SIGTERM" in job.log.read_text()
    assert programs.differences(undisturbed, programs.outcome(folder)) == []


def test_time_limit_is_no_end(cluster, how, tmp_path):
    """A job that ends only after its restart, in a limit of one minute, the grain of Slurm's clock."""
    how = Launch(**{**vars(how), "minutes": 1, "grace_seconds": 50})
    [job] = slurm.submit([place(tmp_path, "--until-restarts", "1")], how)
    assert slurm.Waiting([job], how).statuses(show=False) == [0]
    assert restarts(cluster, job) == 1
    assert lines(tmp_path)[-1]["restarts"] == "1"
    assert "this job is timed-out" in job.log.read_text()


def test_training_on_a_node_that_dies_goes_on_elsewhere(cluster, how, prepared, undisturbed, tmp_path):
    folder = copied(prepared, tmp_path / "run")
    [job] = slurm.submit([training(folder)], how)
    cluster.wait_for("a checkpoint", lambda: has_checkpoint(folder))
    node = running_node(cluster, job)
    cluster.kill(node)
    try:
        assert slurm.Waiting([job], how).statuses(show=False) == [0]
        assert restarts(cluster, job) >= 1
    finally:
        cluster.start(node)
    assert programs.differences(undisturbed, programs.outcome(folder)) == []


def test_controller_that_dies_loses_no_job_and_outputs_stay_single(cluster, how, tmp_path):
    """Killed before it has saved its state, it forgets a job, or starts again what runs already."""
    jobs = slurm.submit([place(tmp_path, "--value", str(n), "--seconds", "3") for n in range(3)], how)
    cluster.wait_for("a start", lambda: "RUNNING" in cluster.queue())
    cluster.kill("slurmctld")
    cluster.start("slurmctld")
    with cluster.operator():
        assert slurm.Waiting(jobs, how).statuses(show=False) == [0, 0, 0]
    assert sorted(path.name for path in tmp_path.glob("output-*")) == ["output-0", "output-1", "output-2"]
    assert overlapping(lines(tmp_path)) == [], "two runners of one command never work at the same time"


def overlapping(said: list[dict]) -> list[str]:
    """Commands that had two runners at work at once."""
    found = []
    for one, other in itertools.combinations(said, 2):
        if one["value"] == other["value"] and one["began"] < other["ended"] and other["began"] < one["ended"]:
            found.append(one["value"])
    return found


def test_second_runner_of_a_job_waits_for_the_first_and_does_nothing(cluster, how, tmp_path):
    """What a controller's crash can do, done on purpose: the same pickled job in two processes at once."""
    [job] = slurm.submit([place(tmp_path, "--seconds", "6")], how)
    cluster.wait_for("its lease", lambda: bool(list((tmp_path / "launch").glob("*/leases/*.json"))))
    [folder] = (tmp_path / "launch").iterdir()
    second = slurm.CommandJob(
        argv=place(tmp_path, "--seconds", "6").argv(),
        status_file=str(folder / "status-0.json"),
        lease_folder=str(folder / "leases"),
        lease_name="command-0",
    )
    code = f"from shared.runs.slurm import CommandJob; print(CommandJob(**{vars(second)!r})())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "another runner holds command-0-node0: waiting for it" in done.stdout
    assert slurm.Waiting([job], how).statuses(show=False) == [0]
    assert len(lines(tmp_path)) == 1


def test_torchrun_meets_over_two_nodes(how, tmp_path):
    how = Launch(**{**vars(how), "nodes": 2, "ranks": 2})
    assert launch([Command(PLACE, ("--folder", str(tmp_path), "--all-reduce"))], how) == [0]
    assert sorted((one["rank"], one["sum"]) for one in lines(tmp_path)) == [
        (n, 0 + 1 + 2 + 3) for n in range(4)
    ]
