"""A process that publishes, to be killed, starved of disk space or raced; the tests of the store's faults run
it.

    python store_child.py hold ROOT PARENT      opens a draft, says where, waits for a line on stdin,
    publishes python store_child.py serve                 reads jobs as JSON lines, answers each with a JSON
    line

A job publishes in forked processes, all at once: {"root": …, "numbers": [1, 2], "die_at": N, "full_from": N};
its answer lists [exit status, standard output, standard error] of each. Forking keeps the start of Python out
of every one of the hundred publishes.

File operations inside the root are counted through the interpreter's audit events, which fire before each
operation, those of the standard library too. `die_at` is `kill -9` just before that operation; `full_from`
makes every operation that needs space fail from that one on, as a full disk does.
"""

import contextlib
import errno
import json
import os
import signal
import sys
import tempfile
import traceback
from typing import IO, Any

from shared.errors import ArtifactError
from shared.store import manifests
from shared.store.artifacts import Store

NEEDS_SPACE = {"open", "os.mkdir", "os.rename", "os.fsync"}
COUNTED = {*NEEDS_SPACE, "os.remove", "os.rmdir", "os.chmod", "fcntl.flock", "shutil.rmtree"}


class Faults:
    """Counts file operations under a root and lets one of them be the last, or the first to fail."""

    def __init__(self, root: str, die_at: int | None, full_from: int | None) -> None:
        self.root, self.die_at, self.full_from = root, die_at, full_from
        self.count = 0
        self.active = True
        real_fsync = os.fsync

        def fsync(descriptor: int) -> None:
            self.operation("os.fsync", self.root, "w")
            real_fsync(descriptor)

        os.fsync = fsync
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if event not in COUNTED:
            return
        mode = str(arguments[1]) if event == "open" else "w"
        if event == "open" and arguments[1] is None:  # os.open: flags instead of a mode
            mode = "w" if int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR) else "r"
        self.operation(event, self.root if event == "fcntl.flock" else str(arguments[0]), mode)

    def operation(self, event: str, path: str, mode: str) -> None:
        if not self.active or not path.startswith(self.root):
            return
        self.count += 1
        if self.die_at == self.count:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.full_from and self.count >= self.full_from and event in NEEDS_SPACE and mode[0] in "wxa":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def publish(store: Store, number: int) -> str:
    """Publish content that depends on the number alone, under the name and the key that all children share."""
    with store.draft(
        "EvalReport", config={"number": number}, parents={}, name="shared", key="step-1"
    ) as draft:
        (draft.path / "report.json").write_text(f'{{"number": {number}}}')
        (draft.path / "figures").mkdir()
        (draft.path / "figures" / "one.bin").write_bytes(bytes([number]) * 100_000)
    return draft.artifact.digest


def run_child(job: dict[str, Any], number: int) -> int:
    """Publish once, under the job's faults; the exit status of a program."""
    faults = Faults(job["root"], job.get("die_at"), job.get("full_from"))
    try:
        print(publish(Store(job["root"]), number))
    except ArtifactError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        faults.active = False
    print(faults.count)
    return 0


def serve_job(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Fork a child per number, let them go at the same moment, and collect what they leave."""
    gate, opener = os.pipe()
    with contextlib.ExitStack() as files:
        children = []
        for number in job["numbers"]:
            outputs = [files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2)]
            pid = os.fork()
            if not pid:
                os.close(opener)
                os.read(gate, 1)  # until the last copy of the other end is closed
                sys.stdout, sys.stderr = outputs
                status = run_child(job, number)
                for file in outputs:
                    file.flush()
                os._exit(status)
            children.append((pid, outputs))
        os.close(opener)
        os.close(gate)
        return [(exit_status(pid), *map(whole_text, outputs)) for pid, outputs in children]


def exit_status(pid: int) -> int:
    """Wait for a process; minus the signal if one killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def whole_text(file: IO[str]) -> str:
    """What was written to a file that is still open."""
    file.seek(0)
    return file.read()


def main() -> None:
    """Do what the arguments say."""
    if sys.argv[1] == "hold":
        root, parent = sys.argv[2:]
        with Store(root).draft("EvalReport", config={}, parents={"model": parent}, name="held") as draft:
            (draft.path / "report.json").write_text("{}")
            print(draft.path, flush=True)
            sys.stdin.readline()
        return
    manifests.code_version()  # asks git once, not in every child
    for line in sys.stdin:
        print(json.dumps(serve_job(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
