"""A training that is cut off: it goes on where it was, and what it comes to is what it would have come to."""

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.doors.protocols import TrainJob
from tests.a1_basics.small_jobs import ROUNDING, job_in, moved, trained, weights_of
from tests.harness.explain import expect, expect_close, expect_equal


class PowerCut(BaseException):
    """No exception that a program could handle: the machine is gone."""


class Machine:
    """Counts gradient computations, and can be cut off before one of them: what was on disk then is all that stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, job: TrainJob) -> None:
        self.monkeypatch, self.job, self.count = monkeypatch, job, 0
        self.cut_before: int | None = None
        for name in ("backward", "grad"):
            monkeypatch.setattr(torch.autograd, name, self._counted(getattr(torch.autograd, name)))

    def _counted(self, compute: Callable) -> Callable:
        def counting(*args, **kwargs):
            if self.count == self.cut_before:
                self.cut()
            self.count += 1
            return compute(*args, **kwargs)

        return counting

    def cut(self) -> None:
        shutil.copytree(self.job.store.parent, self._copy, symlinks=True)
        raise PowerCut

    @property
    def _copy(self) -> Path:
        return self.job.store.parent.with_name("as it was at the cut")

    def run(self, train: Callable, cut_before: int | None = None) -> tuple[object, int]:
        """Train to the end or to the cut; what came of it (None: cut) and the gradients computed."""
        self.count, self.cut_before = 0, cut_before
        try:
            result = train(self.job)
        except PowerCut:
            result = None
        if self._copy.exists():
            shutil.rmtree(self.job.store.parent)
            self._copy.rename(self.job.store.parent)
        return result, self.count


RESUMABLE = {"steps": 12, "checkpoint_every_steps": 4, "warmup_steps": 3, "max_learning_rate": 1e-2}


@pytest.mark.parametrize("cut_before", [2, 6, 11])
def test_a_killed_run_goes_on_where_it_was(adapters, tmp_path, monkeypatch, cut_before):
    whole = trained(adapters, tmp_path / "whole", **RESUMABLE)
    job = job_in(tmp_path / "cut", **RESUMABLE)
    machine = Machine(monkeypatch, job)
    result, _ = machine.run(adapters.train, cut_before)
    expect(
        result is None,
        what="a step computes its gradients through torch's autograd, one backward pass a step",
        why="that is where this test pulls the plug",
        counterexample=f"the job of 12 steps ended with fewer than {cut_before + 1} backward passes",
    )
    result, count = machine.run(adapters.train)
    saved = cut_before // 4 * 4
    case = f"12 steps, a checkpoint every 4, the power cut in step {cut_before + 1}; then train(job) again"
    expect_close(
        moved(whole, weights_of(job, result)),
        np.zeros_like(moved(whole, whole)),
        what="a run that was killed and started again ends with the weights of one that was left alone",
        why="averages that begin anew, batches that come twice or a schedule that warms up again change the result, "
        "and the curve shows a small bump at most",
        atol=ROUNDING,
        case=case,
    )
    expect(
        count <= 12 - saved,
        what="it goes on from the last checkpoint",
        why="a run that begins anew after each interruption never ends where machines are lent for hours",
        counterexample=f"{count} steps were made after the restart; with the checkpoint of step {saved} "
        f"{12 - saved} are left",
        case=case,
    )


def test_a_save_cut_short_does_no_harm(adapters, tmp_path, monkeypatch):
    whole = trained(adapters, tmp_path / "whole", **RESUMABLE)
    job = job_in(tmp_path / "cut", **RESUMABLE)
    machine, saves, save = Machine(monkeypatch, job), [], torch.save

    def torn(content, target, *args, **kwargs):
        saves.append(1)
        if len(saves) != 2:
            return save(content, target, *args, **kwargs)
        buffer = io.BytesIO()
        save(content, buffer, *args, **kwargs)
        half = buffer.getvalue()[: len(buffer.getvalue()) // 2]
        if hasattr(target, "write"):
            target.write(half)
            target.flush()
        else:
            Path(target).write_bytes(half)
        return machine.cut()

    monkeypatch.setattr(torch, "save", torn)
    machine.run(adapters.train)
    try:
        result, count = machine.run(adapters.train)
    except Exception as error:
        result, count = error, 0
    case = "12 steps, a checkpoint every 4; the power cut when the second torch.save had written half; train(job) again"
    expect(
        isinstance(result, str),
        what="half a checkpoint is passed over",
        why="power fails, and disks fill, while a checkpoint is written; whoever writes over the last good one has "
        "none then",
        counterexample=f"train(job) ended with {result!r}",
        case=case,
    )
    expect_close(
        moved(whole, weights_of(job, result)),
        np.zeros_like(moved(whole, whole)),
        what="the run goes on from a whole checkpoint and ends as if nothing had happened",
        why="write beside, then rename: a name then points to all of the old file or all of the new",
        atol=ROUNDING,
        case=case,
    )
    expect(
        count <= 8,
        what="the checkpoint before the torn one is still there",
        why="write beside, then rename: the old file stays until the new one is whole",
        counterexample=f"{count} steps were made after the restart; from the checkpoint of step 4 it takes 8",
        case=case,
    )


@pytest.mark.parametrize("change", [{"seed": 5}, {"steps": 8}, {"max_learning_rate": 1e-3}], ids=str)
def test_another_job_does_not_go_on_from_this_one(adapters, tmp_path, change):
    job = job_in(tmp_path / "shared", **RESUMABLE)
    adapters.train(job)
    other = replace(job, **change)
    got = weights_of(other, adapters.train(other))
    want = trained(adapters, tmp_path / "alone", **{**RESUMABLE, **change})
    expect_close(
        moved(want, got),
        np.zeros_like(moved(want, want)),
        what="a job with other settings is another run, though it has the same name",
        why="a run folder that is found by name alone goes on from the other job's weights, or says that all is "
        "done; the comparison of two settings then compares one with itself",
        atol=ROUNDING,
        case=f"one job to its end, then the same with {change}, same name, same runs folder",
    )


def test_a_finished_job_gives_its_checkpoint_again(adapters, tmp_path):
    job = job_in(tmp_path)
    first = adapters.train(job)
    expect_equal(
        adapters.train(job),
        first,
        what="a job that is done gives the same digest when it is asked for again",
        why="pipelines run the same command again and expect nothing to change",
    )
