"""Programs on a real Slurm of four virtual nodes: arrays, what it refuses, warnings, time limits, a dead controller."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import ConfigError
from shared.runs import slurm
from shared.runs.launch import Command, Site, array, launch
from tests.system.slurm.cluster import missing_programs

ROOT = Path(__file__).resolve().parents[3]
MISSING = missing_programs()
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not checked: Slurm is not installed ({', '.join(MISSING)})"),
    pytest.mark.timeout(900),  # others may work beside us
]
PLACE = "tests.system.slurm.job"


def place(folder: Path, *flags: str) -> Command:
    return Command(PLACE, ("--folder", str(folder), *flags))


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "said.jsonl").read_text().splitlines()]


def test_array_runs_every_command_a_few_at_a_time_each_with_its_own_log(how, tmp_path, capfd):
    commands = array(place(tmp_path, "--name", "x", "--seconds", "0.5"), {"value": ["1", "2", "3", "4"]})
    how = replace(how, at_most=2, gpus=1)
    jobs = slurm.submit(commands, how)
    assert slurm.Waiting(jobs, how).statuses(show=False) == [0, 0, 0, 0]
    said = sorted(lines(tmp_path), key=lambda one: one["value"])
    assert [one["value"] for one in said] == ["1", "2", "3", "4"]
    assert all(one["gpus"] in ("0", "1") for one in said), "each job sees the one GPU it asked for"
    moments = sorted([(one["began"], 1) for one in said] + [(one["ended"], -1) for one in said])
    assert max(itertools.accumulate(change for _, change in moments)) <= 2
    for job, value in zip(jobs, "1234", strict=True):
        assert f"value {value}" in job.log.read_text()


def test_one_job_shows_its_place_its_output_and_gives_its_status(how, tmp_path, capfd):
    assert launch([place(tmp_path, "--status", "7", "--seconds", "1")], how) == [7]
    out = capfd.readouterr().out
    places = [re.search(pattern, out) for pattern in (r"job \d+ runs on n\d", "this is the job speaking")]
    assert all(places)
    assert re.search(r"exit status 7: .*  \(log: .*log\.out\)", out)
    assert "Traceback" not in out


@pytest.mark.parametrize(("status", "state"), [(0, "COMPLETED"), (7, "FAILED")])
def test_what_has_ended_by_itself_is_not_queued_again(cluster, how, tmp_path, status, state):
    [job] = slurm.submit([place(tmp_path, "--status", str(status))], how)
    assert slurm.Waiting([job], how).statuses(show=False) == [status]
    cluster.wait_for("its end", lambda: cluster.state_of(job.id) == state or cluster.restarts_of(job.id) > 0)
    assert (cluster.state_of(job.id), cluster.restarts_of(job.id), len(lines(tmp_path))) == (state, 0, 1)


def test_job_uses_the_cores_it_was_given_whatever_the_shell_says(how, tmp_path, monkeypatch):
    """The virtual nodes bind nothing to cores, as many clusters do not."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert launch([place(tmp_path)], replace(how, cores=2)) == [0]
    assert lines(tmp_path)[-1]["threads"] == "2"
    assert launch([place(tmp_path)], replace(how, cores=1)) == [0]
    assert (lines(tmp_path)[-1]["threads"], lines(tmp_path)[-1]["cores"]) == ("1", 1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"site": Site(partition="nowhere")}, r"[Ii]nvalid partition.*site\.toml.*low, high"),
        ({"site": Site(constraint="h100")}, r"constraint.*site\.toml"),
        ({"site": Site(options={"no-such-option": "1"})}, r"options in site\.toml"),
        ({"memory_gb": 999.0}, r"--memory-gb.*low: 4 nodes of 2 cores"),
        ({"gpus": 9}, r"--gpus"),
    ],
    ids=lambda value: str(next(iter(value.values()))) if isinstance(value, dict) else "",
)
def test_what_slurm_refuses_is_quoted_once_with_its_mend(how, tmp_path, capfd, asked, said):
    with pytest.raises(ConfigError, match=f"refused.*{said}"):
        launch([place(tmp_path)], replace(how, **asked))
    assert "sbatch" not in capfd.readouterr().err
    assert list(how.folder.glob("*")) == [], "nothing is left of what never was a job"


@pytest.mark.parametrize(("asked", "less"), [({"nodes": 5}, "--nodes"), ({"cores": 64}, "--cores")])
def test_who_waits_for_what_can_never_start_is_told(cluster, how, tmp_path, asked, less):
    """Slurm takes a job that is too large for its partition, and leaves it in the queue."""
    [job] = slurm.submit([place(tmp_path)], replace(how, **asked))
    wanted = f"it will never start: ask for fewer {less}"
    cluster.wait_for("a word", lambda: wanted in slurm.seen_of(job).told(job))


def test_ctrl_c_ends_the_waiting_and_the_same_command_waits_for_the_job_again(cluster, how, tmp_path, capfd):
    command = place(tmp_path, "--seconds", "8")
    sizes = ["--launch", "slurm", "--memory-gb", "1", "--cores", "1", "--folder", str(how.folder)]
    argv = [sys.executable, "-m", "shared.runs.launch", *sizes, command.program, *command.flags]

    def at_a_terminal() -> None:  # tests that run in the background of a shell inherit that Ctrl-C is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        argv, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=at_a_terminal
    ) as waiting:
        cluster.wait_for("a start", (tmp_path / "began").exists)
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate()
    assert waiting.returncode == 130
    assert "The same command waits for it again" in said
    assert "Traceback" not in said
    assert launch([command], how) == [0]
    assert "submitted before, waiting for it" in capfd.readouterr().out
    assert len(lines(tmp_path)) == 1, "the job ran once"


def test_cancelled_job_saves_and_does_not_come_back(cluster, how, tmp_path, capfd):
    [job] = slurm.submit([place(tmp_path, "--seconds", "600")], how)
    cluster.wait_for("a start", (tmp_path / "began").exists)
    cluster.run("scancel", job.id)
    assert slurm.Waiting([job], how).statuses(show=False) == [1]
    assert cluster.state_of(job.id) == "CANCELLED"
    assert [one["saved"] for one in lines(tmp_path)] == [True]
    assert f"ended as CANCELLED and left no status; its log: {job.log}" in capfd.readouterr().err
    assert launch([place(tmp_path)], how) == [0], "what was cancelled is not waited for"


def test_program_that_stops_by_itself_to_be_resumed_is_queued_again(cluster, how, tmp_path):
    """As training does when anything sends it SIGTERM: exit status 75 is no end."""
    [job] = slurm.submit([place(tmp_path, "--until-restarts", "1")], how)
    cluster.wait_for("a start", (tmp_path / "began").exists)
    for pid in cluster.processes_of():
        if PLACE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
    assert slurm.Waiting([job], how).statuses(show=False) == [0]
    assert cluster.restarts_of(job.id) == 1


def test_warning_before_anybody_listens_is_not_lost(cluster, how, tmp_path):
    """A job that is warned while Python is still importing would die of the signal."""
    slow = tmp_path / "slow"
    slow.mkdir()
    reached, go_on = tmp_path / "reached", tmp_path / "go-on"
    (slow / "sitecustomize.py").write_text(
        "import os, pathlib, sys, time\n"
        "if 'submitit.core._submit' in sys.orig_argv and os.environ.get('SLURM_RESTART_COUNT', '0') == '0':\n"
        f"    pathlib.Path({str(reached)!r}).touch()\n"
        f"    while not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.05)\n"
    )
    setup = (f"export PYTHONPATH={slow}:{ROOT}",)
    [job] = slurm.submit([place(tmp_path, "--until-restarts", "1")], replace(how, site=Site(setup=setup)))
    cluster.wait_for("a start", reached.exists)
    cluster.run("scancel", "--signal=USR2", job.id)
    go_on.touch()
    assert slurm.Waiting([job], how).statuses(show=False) == [0]
    assert cluster.restarts_of(job.id) == 1


def test_program_that_does_not_save_in_time_is_queued_again_all_the_same(cluster, how, tmp_path):
    """Who waits for it until the time limit has a job that is over, and never comes back."""
    how = replace(how, grace_seconds=2)
    [job] = slurm.submit([place(tmp_path, "--until-restarts", "1", "--deaf")], how)
    cluster.wait_for("a start", (tmp_path / "began").exists)
    cluster.run("scancel", "--signal=USR2", job.id)
    assert slurm.Waiting([job], how).statuses(show=False) == [0]
    assert cluster.restarts_of(job.id) == 1
    assert "not saved within 1.6 s" in job.log.read_text()


def test_time_limit_is_no_end(cluster, how, tmp_path):
    """A job that ends only after its restart, in a limit of one minute, the grain of Slurm's clock."""
    how = replace(how, minutes=1, grace_seconds=50)
    [job] = slurm.submit([place(tmp_path, "--until-restarts", "1")], how)
    assert slurm.Waiting([job], how).statuses(show=False) == [0]
    assert cluster.restarts_of(job.id) == 1
    assert lines(tmp_path)[-1]["restarts"] == "1"
    assert "this job is timed-out" in job.log.read_text()


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
    how = replace(how, nodes=2, ranks=2)
    assert launch([Command(PLACE, ("--folder", str(tmp_path), "--all-reduce"))], how) == [0]
    assert sorted((one["rank"], one["sum"]) for one in lines(tmp_path)) == [
        (n, 0 + 1 + 2 + 3) for n in range(4)
    ]
