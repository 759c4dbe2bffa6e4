"""Idempotent tasks and their leases: any worker count, any kill, two controllers, and contradictions found."""

import hashlib
import json
import multiprocessing
import os
import signal
import socket
from pathlib import Path

import pytest

from shared.errors import ArtifactError, ConfigError
from shared.runs import tasks as tasks_module
from shared.runs.leases import Leases, process_age
from shared.runs.tasks import MARKER, Task, TaskFailedError, TaskFolder, run_tasks

TASKS = [Task(f"part-{n}", inputs={"text": f"digest {n}"}, config={"times": n}) for n in range(7)]
FORK = multiprocessing.get_context("fork")


def work(task: Task, directory: Path) -> None:
    (directory / "sub").mkdir()
    (directory / "text.txt").write_text(task.name * task.config["times"])
    (directory / "sub" / "hash.txt").write_text(hashlib.sha256(task.name.encode()).hexdigest())


def digests(outcomes):
    return [dict(outcome.outputs) for outcome in outcomes]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return digests(run_tasks(TASKS, work, tmp_path_factory.mktemp("expected"), code="1"))


@pytest.mark.parametrize("num_workers", [1, 2, 5, 20])
def test_any_number_of_workers_gives_the_same_outputs(tmp_path, expected, num_workers):
    outcomes = run_tasks(TASKS, work, tmp_path, code="1", num_workers=num_workers)
    assert digests(outcomes) == expected
    assert outcomes[3].file("text.txt").read_text() == "part-3" * 3
    assert list(tmp_path.glob(".draft-*")) == []
    assert list((tmp_path / ".leases").glob("*.json")) == []


def test_what_is_done_is_not_done_again_and_what_changed_is(tmp_path):
    did = []

    def counted(task, directory):
        did.append(task.name)
        work(task, directory)

    run_tasks(TASKS, counted, tmp_path, code="1")
    run_tasks(TASKS, counted, tmp_path, code="1")
    assert did == [task.name for task in TASKS]
    changed = [*TASKS[:-1], Task("part-6", inputs={"text": "another digest"}, config={"times": 6})]
    run_tasks(changed, counted, tmp_path, code="1")
    assert did[len(TASKS) :] == ["part-6"]
    run_tasks(TASKS, counted, tmp_path, code="2")
    assert len(did) == 2 * len(TASKS) + 1


def test_marker_holds_input_config_code_and_output_digests(tmp_path):
    [outcome] = run_tasks(TASKS[2:3], work, tmp_path, code="the code")
    marker = json.loads((outcome.directory / MARKER).read_text())
    assert marker["inputs"] == {"text": "digest 2"}
    assert marker["config"] == {"times": 2}
    assert marker["code"] == "the code"
    expected = hashlib.sha256(b"part-2part-2").hexdigest()
    assert marker["outputs"]["text.txt"] == {"sha256": expected, "bytes": 12}


@pytest.mark.parametrize("moment", ["before writing", "half-way", "written"])
def test_killed_worker_is_replaced_and_leaves_no_trace(tmp_path, expected, moment):
    flag = tmp_path / "killed once"

    def killing(task, directory):
        if task.name == "part-4" and not flag.exists():
            flag.touch()
            if moment != "before writing":
                work(task, directory)
            if moment == "half-way":
                (directory / "text.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        work(task, directory)

    folder = tmp_path / "tasks"
    assert digests(run_tasks(TASKS, killing, folder, code="1", num_workers=2)) == expected
    assert list(folder.glob(".draft-*")) == []


def test_task_that_kills_its_workers_is_named(tmp_path):
    def deadly(task, directory):
        if task.name == "part-5":
            os.kill(os.getpid(), signal.SIGKILL)
        work(task, directory)

    with pytest.raises(TaskFailedError, match=r"3 workers died in task part-5.*exit status -9"):
        run_tasks(TASKS, deadly, tmp_path, code="1", num_workers=2)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_failing_task_is_named_and_the_others_stay_done(tmp_path, num_workers):
    def failing(task, directory):
        if task.name == "part-6":
            raise ValueError("bad line 17")
        work(task, directory)

    with pytest.raises(TaskFailedError, match=r"part-6 failed: ValueError: bad line 17"):
        run_tasks(TASKS, failing, tmp_path, code="1", num_workers=num_workers)
    folder = TaskFolder(tmp_path, "1")
    assert folder.outcome(TASKS[0]) is not None
    assert folder.outcome(TASKS[6]) is None


def controller(folder: Path, started, num_workers: int) -> None:
    started.wait()
    run_tasks(TASKS, work, folder, code="1", num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_two_controllers_at_once_give_the_same_outputs(tmp_path, expected, num_workers):
    started = FORK.Event()
    controllers = [FORK.Process(target=controller, args=(tmp_path, started, num_workers)) for _ in range(2)]
    for process in controllers:
        process.start()
    started.set()
    for process in controllers:
        process.join()
    assert [process.exitcode for process in controllers] == [0, 0]
    assert digests(run_tasks(TASKS, work, tmp_path, code="1")) == expected


def test_second_runner_of_one_task_gives_way_to_equal_outputs(tmp_path):
    """As when a scheduler starts a job twice: the other finishes while we are at work."""
    ran = []

    def overtaken(task, directory):
        ran.append(task.name)
        if len(ran) == 1:
            TaskFolder(tmp_path, "1")._do(task, work)
        work(task, directory)

    [outcome] = run_tasks(TASKS[1:2], overtaken, tmp_path, code="1")
    assert outcome.file("text.txt").read_text() == "part-1"
    assert list(tmp_path.glob(".draft-*")) == []


def test_work_that_is_not_deterministic_is_an_error(tmp_path):
    def overtaken(task, directory):
        if not (tmp_path / "once").exists():
            (tmp_path / "once").touch()
            TaskFolder(tmp_path, "1")._do(task, overtaken)
            (directory / "text.txt").write_text("one")
        else:
            (directory / "text.txt").write_text("two")

    with pytest.raises(ArtifactError, match=r"different bytes twice.*text\.txt"):
        run_tasks(TASKS[1:2], overtaken, tmp_path, code="1")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "text.txt").write_text("cut"),
        lambda path: (path / "text.txt").unlink(),
        lambda path: (path / MARKER).write_text("{"),
        lambda path: (path / MARKER).unlink(),
    ],
)
def test_damaged_outcome_counts_as_none_and_is_made_again(tmp_path, expected, damage):
    outcomes = run_tasks(TASKS, work, tmp_path, code="1")
    damage(outcomes[4].directory)
    assert TaskFolder(tmp_path, "1").outcome(TASKS[4]) is None
    assert digests(run_tasks(TASKS, work, tmp_path, code="1")) == expected


def test_flipped_bit_is_found_when_asked(tmp_path):
    [outcome] = run_tasks(TASKS[1:2], work, tmp_path, code="1")
    (outcome.directory / "text.txt").write_text("Part-1")
    folder = TaskFolder(tmp_path, "1")
    assert folder.outcome(TASKS[1]) is not None
    assert folder.outcome(TASKS[1], verify=True) is None


@pytest.mark.parametrize("names", [("a", "a"), ("a/b",), ("..",), (".hidden",)])
def test_names_must_be_file_names_of_their_own(tmp_path, names):
    with pytest.raises(ConfigError, match="task name"):
        run_tasks([Task(name) for name in names], work, tmp_path, code="1")


# ---------------------------------------------------------------- leases


def foreign(directory: Path, name: str, **changes: object) -> Path:
    holder = {"token": "theirs", "host": "elsewhere", "pid": 1, "age": "0", **changes}
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps(holder))
    return directory / f"{name}.json"


def test_lease_has_one_holder_and_comes_back(tmp_path):
    mine, yours = Leases(tmp_path), Leases(tmp_path)
    with mine.held("job") as lease:
        assert lease is not None
        with yours.held("job") as second:
            assert second is None
    with yours.held("job") as lease:
        assert lease is not None
    assert list(tmp_path.iterdir()) == []


def test_lease_of_a_process_that_is_gone_is_taken_at_once(tmp_path):
    process = FORK.Process(target=lambda: Leases(tmp_path).take("job"))
    process.start()
    process.join()
    with Leases(tmp_path).held("job") as lease:
        assert lease is not None


def test_recycled_process_number_is_another_process(tmp_path):
    foreign(tmp_path, "job", host=socket.gethostname(), pid=os.getpid(), age="long ago")
    assert Leases(tmp_path).is_dead("job")
    foreign(tmp_path, "job", host=socket.gethostname(), pid=os.getpid(), age=process_age(os.getpid()))
    assert not Leases(tmp_path).is_dead("job")


def test_foreign_lease_is_dead_when_it_does_not_move_on_our_own_clock(tmp_path, monkeypatch):
    path = foreign(tmp_path, "job")
    now = [1000.0]
    monkeypatch.setattr("shared.runs.leases.time.monotonic", lambda: now[0])
    leases = Leases(tmp_path, lease_seconds=60)
    os.utime(path, (0, 0))  # a host whose clock is half a century behind
    assert not leases.is_dead("job")
    now[0] += 59
    assert not leases.is_dead("job")
    os.utime(path, (2**33, 2**33))  # touched, by a clock two centuries ahead
    now[0] += 59
    assert not leases.is_dead("job")
    now[0] += 60
    assert leases.is_dead("job")
    assert leases.take("job") is not None


def test_holder_learns_that_it_was_replaced_and_leaves_the_other_alone(tmp_path):
    leases = Leases(tmp_path)
    lease = leases.take("job")
    assert lease is not None
    path = foreign(tmp_path, "job")
    lease.touch()
    assert lease.is_lost
    lease.release()
    assert path.exists()


def test_unreadable_lease_is_waited_for_not_trusted(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("shared.runs.leases.time.monotonic", lambda: now[0])
    (tmp_path / "job.json").write_text("")
    leases = Leases(tmp_path, lease_seconds=10)
    assert leases.take("job") is None
    now[0] = 10.0
    assert leases.take("job") is not None


def test_waiting_for_a_held_task_ends_when_the_other_is_done(tmp_path, monkeypatch):
    """Another host holds the lease and publishes while we wait."""
    foreign(tmp_path / ".leases", "part-1")

    def other_host_finishes(seconds):
        TaskFolder(tmp_path, "1")._do(TASKS[1], work)

    monkeypatch.setattr(tasks_module.time, "sleep", other_host_finishes)
    ran = []
    run_tasks(TASKS[1:2], lambda task, directory: ran.append(task), tmp_path, code="1")
    assert ran == []
