"""What a node of a cluster does with a program's end; with a real Slurm it is in tests/system/slurm."""

import subprocess
import sys

import psutil
import pytest

from shared.runs import slurm_job
from shared.runs.slurm_job import CommandJob, kill_all


def ended(code: str, folder, monkeypatch, node: int) -> tuple[int, list[str]]:
    """The status of a job that runs a line of Python on a node, and how often that asked to be queued again."""
    asked: list[str] = []
    monkeypatch.setenv("SLURM_PROCID", str(node))
    monkeypatch.setattr(slurm_job, "requeue_if_running", lambda: asked.append("requeue"))
    job = CommandJob(
        [sys.executable, "-c", code], str(folder / "status"), str(folder / "leases"), "command-0"
    )
    return job(), asked


@pytest.mark.parametrize("signal_name", ["", "SIGTERM", "SIGUSR2"])
@pytest.mark.parametrize(("node", "wanted"), [(0, ["requeue"]), (1, [])])
def test_first_node_alone_asks_for_a_job_that_was_stopped(tmp_path, monkeypatch, node, wanted, signal_name):
    """By a status, or by a signal before it could listen; the job is one however many nodes it has."""
    by_signal = f"import os, signal; os.kill(os.getpid(), signal.{signal_name})"
    _, asked = ended(by_signal if signal_name else "raise SystemExit(75)", tmp_path, monkeypatch, node)
    assert asked == wanted
    assert not (tmp_path / "status").exists()


def test_a_program_that_is_done_is_not_asked_for_again(tmp_path, monkeypatch):
    assert ended("pass", tmp_path, monkeypatch, 0) == (0, [])
    assert (tmp_path / "status").exists()


def test_killing_a_program_kills_what_it_started():
    """The ranks of a torchrun are in sessions of their own, and would go on writing."""
    code = "import subprocess as s; child = s.Popen(['sleep', '600'], start_new_session=True)\n"
    code += "print(child.pid, flush=True); child.wait()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        child = psutil.Process(int(program.stdout.readline()))
        kill_all(program.pid)
    psutil.wait_procs([child])
    assert not child.is_running()
    kill_all(program.pid)  # who is gone is no error
