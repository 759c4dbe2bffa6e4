"""How training over ranks ends when it is not let be: the program on real ranks, as a launcher starts it."""

import dataclasses
import os
import signal
import socket
import sys
import threading

import pytest

from a2_systems.run import train_parallel
from shared.runs import runner
from shared.runs.program import run_program
from shared.store.artifacts import Store
from tests.harness.ranks import WAIT_SECONDS
from tests.units.a2_systems.test_train_parallel import alone, expect_same_losses, job, losses

__all__ = ["job"]  # a fixture


def start(job, num_ranks, folder, disturb=lambda rank, loop: None):
    """The program on so many ranks, which call `disturb` after each step; exit status and standard error of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if os.path.exists("/sys/class/net/lo") else "lo0")
    pids = []
    for rank in range(num_ranks):
        pid = os.fork()
        if pid == 0:
            where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": num_ranks, "RANK": rank}
            os.environ |= {name: str(value) for name, value in (where | {"LOCAL_RANK": rank}).items()}
            os._exit(_be_rank(job, rank, folder / f"stderr-{rank}", disturb))
        pids.append(pid)
    too_late = threading.Timer(WAIT_SECONDS, lambda: [os.kill(pid, signal.SIGKILL) for pid in pids])
    too_late.start()  # a hang is a status that no test wants
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    too_late.cancel()
    return statuses, [(folder / f"stderr-{rank}").read_text() for rank in range(num_ranks)]


def _be_rank(job, rank, stderr, disturb):
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    take_step = runner._Loop._one_step

    def one_step(loop):
        take_step(loop)
        disturb(rank, loop)

    runner._Loop._one_step = one_step
    try:
        return run_program(train_parallel.main, {"job": job}, argv=["--preset", "job"])
    except Exception:
        return 1  # as the interpreter does, which shows the traceback


def test_one_rank_s_crash_ends_all_and_is_named(job, tmp_path):
    def crash(rank, loop):
        if (rank, loop.step) == (1, 5):
            raise ArithmeticError("this rank's memory is broken")

    spread = dataclasses.replace(job, strategy="bucketed")
    statuses, said = start(spread, 3, tmp_path, crash)
    assert statuses == [1, 1, 1]
    assert "rank 1 of 3: ArithmeticError: this rank's memory is broken" in said[1]
    for rank in (0, 2):
        assert (
            f"rank {rank} of 3: this rank waited for others, and rank 1 ended: ArithmeticError" in said[rank]
        )
    assert "spread" not in Store(job.store).names("Checkpoint")


def test_a_rank_that_is_killed_ends_all(job, tmp_path):
    def kill(rank, loop):
        if (rank, loop.step) == (1, 5):
            os.kill(os.getpid(), signal.SIGKILL)

    statuses, said = start(dataclasses.replace(job, strategy="fsdp"), 2, tmp_path, kill)
    assert statuses == [1, -signal.SIGKILL]
    assert "one ended without a word: killed" in said[0]


def test_ctrl_c_saves_at_one_step_and_the_same_command_goes_on(job, tmp_path):
    def interrupt(rank, loop):
        if loop.step == 5 + rank:  # the terminal tells all, but not at the same moment
            os.kill(os.getpid(), signal.SIGINT)

    spread = dataclasses.replace(job, strategy="zero1")
    statuses, said = start(spread, 2, tmp_path, interrupt)
    assert statuses == [130, 130]
    assert all("stopped by Ctrl-C: step 5 of 12 is saved" in words for words in said)
    statuses, said = start(spread, 2, tmp_path)
    assert statuses == [0, 0]
    assert "going on from step 5 of 12" in said[0]
    expect_same_losses(losses(spread), alone(job))


@pytest.mark.parametrize("strategy", ["bucketed", "fsdp"])
def test_started_alone_it_trains_on_one(job, strategy, monkeypatch, capsys):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    spread = dataclasses.replace(job, strategy=strategy)
    assert run_program(train_parallel.main, {"job": spread}, argv=["--preset", "job"]) == 0
    assert f"nothing to spread, strategy {strategy} trains as single" in capsys.readouterr().out
    expect_same_losses(losses(spread), alone(job))
