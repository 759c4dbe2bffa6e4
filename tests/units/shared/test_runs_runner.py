"""The runner's laws: any interruption and resume equals no interruption; damage, divergence and rivals are named."""

import errno
import json
import math
import os
import random
import signal
import threading
from pathlib import Path

import pytest

from shared.errors import ArtifactError, ConfigError, DivergenceError, Preempted
from shared.runs.checkpoints import Checkpoints, read_checkpoint
from shared.runs.guard import Guard
from shared.runs.runlog import VOLATILE_KEYS, comparable, read_log
from shared.runs.runner import Cadence, run

EVERY = Cadence(log_steps=3, evaluate_steps=8, checkpoint_steps=7, keep=2)
NUM_STEPS = 40


class Walk:
    """A state with a number and a random generator: forgetting to save either would show."""

    def __init__(self):
        self.position, self.random = 1.0, random.Random(7)

    def save(self, directory: Path) -> None:
        version, internal, gauss = self.random.getstate()
        state = {"position": self.position, "random": [version, list(internal), gauss]}
        (directory / "walk.json").write_text(json.dumps(state))

    def load(self, directory: Path) -> None:
        state = json.loads((directory / "walk.json").read_text())
        self.position = state["position"]
        version, internal, gauss = state["random"]
        self.random.setstate((version, tuple(internal), gauss))


def walk(state, batch):
    state.position += state.random.gauss(0, 0.01) + 1e-3 * batch
    return state, {"loss_nats": state.position, "learning_rate": 0.1}


def batch_of(index):
    return math.sin(index)


def go(run_dir, *, step=walk, num_steps=NUM_STEPS, state=None, **changes):
    settings = {"every": EVERY, "evaluate": lambda s: {"validation_loss_nats": s.position}} | changes
    return run(
        run_dir=run_dir,
        state=state or Walk(),
        step=step,
        batches=settings.pop("batches", batch_of),
        num_steps=num_steps,
        progress=False,
        **settings,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Position and comparable log of a run that nobody interrupted."""
    result = go(tmp_path_factory.mktemp("runs") / "whole")
    return result.state.position, comparable(read_log(result.log))


def raise_at(at, error, then=walk):
    """A step function that breaks before doing the step with this index, once."""
    left = [error]

    def step(state, batch):
        if left and batch == batch_of(at):
            raise left.pop()
        return then(state, batch)

    return step


def test_the_log_has_each_kind_of_record_at_its_cadence(undisturbed):
    _, records = undisturbed
    logged = [record["step"] for record in records if "loss_nats" in record]
    evaluated = [record["step"] for record in records if "validation_loss_nats" in record]
    assert logged == [*range(3, 40, 3), 40]
    assert evaluated == [8, 16, 24, 32, 40]


@pytest.mark.parametrize("at", [0, 1, 6, 7, 8, 20, 39])
def test_a_crash_at_any_step_and_a_resume_equal_an_undisturbed_run(tmp_path, undisturbed, at):
    with pytest.raises(RuntimeError, match="crash"):
        go(tmp_path, step=raise_at(at, RuntimeError("crash")))
    result = go(tmp_path)
    assert (result.state.position, comparable(read_log(result.log))) == undisturbed
    assert result.resumed_step == (at // 7 * 7 or None)


def test_many_crashes_in_one_run_change_nothing(tmp_path, undisturbed):
    for at in (3, 8, 15, 15, 29, 36):
        with pytest.raises(RuntimeError):
            go(tmp_path, step=raise_at(at, RuntimeError("crash")))
    result = go(tmp_path)
    assert (result.state.position, comparable(read_log(result.log))) == undisturbed


def test_measured_keys_are_all_volatile_and_the_rest_is_what_step_and_evaluate_gave(tmp_path):
    result = go(tmp_path, tokens_per_step=64, flops_per_step=1e3, peak_flops_per_second=1e12)
    records = read_log(result.log)
    keys = {key for record in records for key in record}
    assert keys - VOLATILE_KEYS == {"step", "loss_nats", "learning_rate", "validation_loss_nats"}
    assert VOLATILE_KEYS - keys == {"exposed_seconds"}  # which steps on several ranks measure themselves
    assert all(
        record["tokens_per_second"] > 0 and record["mfu_fraction"] > 0
        for record in records
        if "loss_nats" in record
    )


def test_no_mfu_without_a_known_peak(tmp_path):
    result = go(tmp_path, num_steps=3, flops_per_step=1e3)
    assert not any("mfu_fraction" in record for record in read_log(result.log))


def test_only_the_newest_checkpoints_stay_and_latest_names_the_last(tmp_path):
    go(tmp_path)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["latest", "step-00000035", "step-00000040"]
    assert (tmp_path / "checkpoints" / "latest").read_text().strip() == "step-00000040"


def test_a_finished_run_returns_at_once(tmp_path):
    first = go(tmp_path)
    again = go(tmp_path, step=raise_at(0, RuntimeError("must not step"), then=None))
    assert again.state.position == first.state.position
    assert again.metrics == first.metrics
    assert again.num_spikes == first.num_spikes


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (signal.SIGTERM, Preempted, "SIGTERM"),
        (signal.SIGUSR2, Preempted, "SIGUSR2"),
        (signal.SIGINT, KeyboardInterrupt, "Ctrl-C"),
    ],
)
def test_a_signal_saves_at_the_step_boundary_and_the_run_goes_on_from_there(
    tmp_path, undisturbed, number, error, words
):
    def step(state, batch):
        if batch == batch_of(10):
            os.kill(os.getpid(), number)
        return walk(state, batch)

    before = signal.getsignal(number)
    with pytest.raises(error, match="step 11 of 40 is saved") as raised:
        go(tmp_path, step=step)
    assert words in str(raised.value)
    assert "same command" in str(raised.value)
    assert signal.getsignal(number) is before
    result = go(tmp_path)
    assert result.resumed_step == 11
    assert (result.state.position, comparable(read_log(result.log))) == undisturbed


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    def step(state, batch):
        if batch == batch_of(10):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            pytest.fail("went on after the second Ctrl-C")
        return walk(state, batch)

    with pytest.raises(KeyboardInterrupt, match="at once"):
        go(tmp_path, step=step)
    assert go(tmp_path).resumed_step == 7


def test_a_signal_in_the_last_step_stops_before_what_comes_after(tmp_path):
    def step(state, batch):
        if batch == batch_of(NUM_STEPS - 1):
            os.kill(os.getpid(), signal.SIGTERM)
        return walk(state, batch)

    with pytest.raises(Preempted, match="step 40 of 40"):
        go(tmp_path, step=step)
    assert go(tmp_path).resumed_step == 40


def test_the_runner_works_outside_the_main_thread(tmp_path, undisturbed):
    results = []
    thread = threading.Thread(target=lambda: results.append(go(tmp_path)))
    thread.start()
    thread.join()
    assert results[0].state.position == undisturbed[0]


def test_a_second_writer_is_refused_with_the_process_of_the_first(tmp_path):
    def step(state, batch):
        with pytest.raises(ConfigError, match=f"process {os.getpid()} "):
            go(tmp_path)
        return walk(state, batch)

    go(tmp_path, step=step, num_steps=1)


def test_ranks_that_share_nothing_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 ranks were started"):
        go(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("WORLD_SIZE", "1")
    go(tmp_path)


def test_a_run_of_another_config_is_refused_and_the_difference_is_named(tmp_path):
    go(tmp_path, config={"steps": 40, "model": {"d_ff": 8}}, num_steps=5)
    with pytest.raises(ConfigError, match=r"model\.d_ff: 8 there, 16 here"):
        go(tmp_path, config={"steps": 40, "model": {"d_ff": 16}})
    go(tmp_path, config={"steps": 40, "model": {"d_ff": 8}})


def damage(path: Path, how: str) -> None:
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-5])
    elif how == "bit flipped":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["truncated", "bit flipped", "missing"])
@pytest.mark.parametrize("file", ["walk.json", "runner.json", "digests.json"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path, undisturbed, file, how):
    if (file, how) == ("digests.json", "bit flipped"):
        how = "truncated"  # a flip in white space would change nothing
    go(tmp_path, num_steps=21)
    damage(tmp_path / "checkpoints" / "step-00000021" / file, how)
    with pytest.warns(UserWarning, match=file):
        result = go(tmp_path)
    assert result.resumed_step == 14
    assert result.state.position == undisturbed[0]


@pytest.mark.parametrize(
    "content", ["[]", "null", "{}", '{"runner.json": 5}', '{"runner.json": {"bytes": 5}}']
)
def test_a_list_of_digests_of_another_shape_is_passed_over(tmp_path, undisturbed, content):
    go(tmp_path, num_steps=21)
    (tmp_path / "checkpoints" / "step-00000021" / "digests.json").write_text(content)
    with pytest.warns(UserWarning, match=r"passing over .*digests\.json"):
        result = go(tmp_path)
    assert (result.resumed_step, result.state.position) == (14, undisturbed[0])


def test_when_every_checkpoint_is_damaged_the_run_begins_anew(tmp_path, undisturbed):
    go(tmp_path, num_steps=21)
    for path in (tmp_path / "checkpoints").glob("step-*/walk.json"):
        damage(path, "truncated")
    with pytest.warns(UserWarning, match="damaged checkpoint"):
        result = go(tmp_path)
    assert result.resumed_step is None
    assert (result.state.position, comparable(read_log(result.log))) == undisturbed


def test_a_log_that_lost_records_is_an_error_not_a_shorter_log(tmp_path):
    result = go(tmp_path, num_steps=21)
    result.log.write_text("")
    with pytest.raises(ArtifactError, match=r"log\.jsonl lacks"):
        go(tmp_path)


class Full(Walk):
    """Saves twice, then the disk is full."""

    def __init__(self, error):
        super().__init__()
        self.error, self.saves = error, 0

    def save(self, directory):
        self.saves += 1
        (directory / "half").write_bytes(b"1" * 100)
        if self.saves > 2:
            raise self.error
        super().save(directory)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), RuntimeError("No space left on device")])
def test_a_full_disk_leaves_the_previous_checkpoint_whole(tmp_path, error):
    with pytest.raises(ArtifactError, match=r"could not save step 21 \(step 14 is whole\)"):
        go(tmp_path, state=Full(error))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "latest",
        "step-00000007",
        "step-00000014",
    ]
    assert go(tmp_path).resumed_step == 14


def test_a_checkpoint_is_out_of_the_readers_sight_until_it_is_whole(tmp_path):
    checkpoints, seen = Checkpoints(tmp_path), []

    class Watched(Walk):
        def save(self, directory):
            super().save(directory)
            seen.append(checkpoints.newest_first())

    checkpoints.save(3, Watched(), {})
    assert seen == [[]]
    assert len(checkpoints.newest_first()) == 1


def test_what_a_killed_save_left_is_swept(tmp_path):
    go(tmp_path, num_steps=7)
    left = tmp_path / "checkpoints" / ".saving-step-00000014-99"
    left.mkdir()
    (left / "walk.json").write_text("{")
    go(tmp_path)
    assert not left.exists()


def test_a_checkpoint_of_the_same_step_is_replaced_whole(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    state = Walk()
    checkpoints.save(3, state, {"a": 1})
    checkpoints.save(3, state, {"a": 2})
    assert read_checkpoint(tmp_path / "checkpoints" / "step-00000003").runner["a"] == 2
    assert len(checkpoints.newest_first()) == 1


# The guard


def losses(values, rest=()):
    """A step function that reports these losses by step index."""

    def step(state, index):
        return state, {"loss_nats": values[index], **dict(rest)}

    return step


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["loss_nats", "gradient_norm"])
def test_a_number_that_is_not_finite_stops_the_run_before_it_is_saved(tmp_path, key, bad):
    def step(state, index):
        values = {"loss_nats": 3.0, "gradient_norm": 1.0}
        return state, values | ({key: bad} if index == 13 else {})

    with pytest.raises(DivergenceError) as raised:
        go(tmp_path, step=step, batches=lambda index: index, config={"a": 1})
    said = str(raised.value)
    assert f"step 14 gave {key}={bad}" in said
    assert "checkpoint is of step 7" in said
    assert "lower learning rate" in said
    assert read_log(tmp_path / "log.jsonl")[-1]["event"] == "diverged"
    assert (tmp_path / "checkpoints" / "latest").read_text().strip() == "step-00000007"


GUARD = Guard(window_steps=10, rise=1.0, patience_steps=5)


def test_a_single_spike_is_an_event_and_the_run_goes_on(tmp_path):
    values = [3.0 + 0.01 * (index % 3) for index in range(40)]
    values[20] = values[21] = 9.0
    result = go(tmp_path, step=losses(values), batches=lambda index: index, guard=GUARD)
    events = [record for record in read_log(result.log) if "event" in record]
    assert [(event["step"], event["event"]) for event in events] == [(21, "spike"), (23, "spike_ended")]
    assert events[0]["loss_nats"] == 9.0
    assert events[1]["spiking_steps"] == 2
    assert result.num_spikes == 1


def test_a_lasting_spike_stops_the_run_also_across_a_resume(tmp_path):
    values = [3.0] * 20 + [9.0] * 20

    def undisturbed_end(run_dir, **changes):
        with pytest.raises(DivergenceError) as raised:
            go(run_dir, batches=lambda index: index, guard=GUARD, **changes)
        return str(raised.value).split(": ", 1)[1], comparable(read_log(run_dir / "log.jsonl"))

    whole = undisturbed_end(tmp_path / "whole", step=losses(values))
    assert "5 steps in a row: 9 at step 25, where 3 had been reached" in whole[0]
    with pytest.raises(RuntimeError):
        go(
            tmp_path / "cut",
            step=raise_in_spike(values),
            batches=lambda index: index,
            guard=GUARD,
        )
    assert undisturbed_end(tmp_path / "cut", step=losses(values)) == whole


def raise_in_spike(values):
    def step(state, index):
        if index == 23:
            raise RuntimeError("crash")
        return state, {"loss_nats": values[index]}

    return step
