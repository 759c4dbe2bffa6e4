"""kill -9 of a real training at many moments, also in the middle of saving; resumed, it equals an undisturbed one.

Equal means: every tensor of the final state (weights, optimizer, generator) has the same bits, and the log is the same
but for what is measured. The moments are operations on files and steps, drawn with a seed over the whole run, so a
failure names one that can be repeated; a few more kills come from a timer.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.runs.checkpoints import Checkpoints
from shared.runs.runlog import comparable, read_log

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="not checked: this platform cannot fork")

NUM_KILLS = int(os.environ.get("LM_KILLS", "12"))  # raise it for a longer hunt
Final = tuple[bytes, list[dict[str, Any]]]


class Trainer:
    """The warm process of training_child.py."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.system.training_child"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        root = Path(__file__).resolve().parents[2]
        self.process = subprocess.Popen(
            command, cwd=root, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def order(self, run_dir: Path, **how: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"run_dir": str(run_dir), **how}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the warm process ended"
        return json.loads(answer)


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = Trainer()
    yield trainer
    trainer.process.kill()
    trainer.process.wait()


def final(run_dir: Path) -> Final:
    """The bytes of the final state and the comparable log."""
    checkpoint = Checkpoints(run_dir).find()
    assert checkpoint is not None
    assert checkpoint.step == 30
    return (checkpoint.path / "state.safetensors").read_bytes(), comparable(read_log(run_dir / "log.jsonl"))


@pytest.fixture(scope="module")
def undisturbed(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Final]:
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    answer = trainer.order(run_dir)
    assert answer["status"] == 0
    return answer["operations"], final(run_dir)


def check_resume(trainer: Trainer, run_dir: Path, undisturbed: Final, moments: str) -> None:
    assert trainer.order(run_dir)["status"] == 0, f"the resume failed after a kill at {moments}"
    state, log = final(run_dir)
    assert log == undisturbed[1], f"the log differs after a kill at {moments}"
    assert state == undisturbed[0], f"weights, optimizer or generator differ after a kill at {moments}"
    left = [path.name for path in (run_dir / "checkpoints").iterdir() if path.name.startswith(".")]
    assert left == [], f"unfinished files stay after a kill at {moments}"


def test_the_training_is_deterministic_and_learns(trainer, undisturbed, tmp_path):
    _, (state, log) = undisturbed
    assert trainer.order(tmp_path / "again")["status"] == 0
    assert final(tmp_path / "again") == (state, log)
    losses = [record["loss_nats"] for record in log if "loss_nats" in record]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("seed", range(NUM_KILLS))
def test_one_kill_at_any_operation_changes_nothing(trainer, undisturbed, tmp_path, seed):
    operations, whole = undisturbed
    moment = random.Random(seed).randrange(operations)
    answer = trainer.order(tmp_path / "run", kill_at=moment)
    assert answer["killed_by"] == signal.SIGKILL
    check_resume(trainer, tmp_path / "run", whole, f"operation {moment} of {operations}")


def test_kills_all_along_one_period_of_saving(trainer, undisturbed, tmp_path):
    """From one save to the next: steps, log records, chunks, fsyncs, the rename, `latest`, removing the oldest."""
    operations, whole = undisturbed
    period = -(-operations // 8)  # 30 steps, saved at every fourth and at the end
    for moment in range(2 * period, 3 * period, 3):
        trainer.order(tmp_path / f"{moment}", kill_at=moment)
        check_resume(trainer, tmp_path / f"{moment}", whole, f"operation {moment}")


def test_killed_again_and_again_in_one_run(trainer, undisturbed, tmp_path):
    operations, whole = undisturbed
    draw = random.Random(99)
    moments = [draw.randrange(operations // 3) for _ in range(6)]
    for moment in moments:
        trainer.order(tmp_path / "run", kill_at=moment)
    check_resume(trainer, tmp_path / "run", whole, f"operations {moments} of consecutive sessions")


def test_kills_by_a_timer_wherever_the_run_is(trainer, undisturbed, tmp_path):
    draw = random.Random(5)
    for number in range(4):
        delay_seconds = draw.uniform(0.0, 0.2)
        trainer.order(tmp_path / f"{number}", delay_seconds=delay_seconds)
        check_resume(trainer, tmp_path / f"{number}", undisturbed[1], f"{delay_seconds:.3f} s")
