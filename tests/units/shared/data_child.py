"""A process that fetches the data set `toys` of a test's server: once, or again and again, killed at every moment.

    python data_child.py URL FOLDER once
    python data_child.py URL FOLDER kills     prints {"kills": number, "wrong": [what was not as it should be]}

For `kills`, a forked process dies by SIGKILL just before its n-th operation on a file below FOLDER, for every n until
one gets through; each leaves what it leaves to the next, every fourth begins in an empty folder.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from shared.corpora import fetch as program
from shared.corpora.catalog import Dataset, Source
from shared.corpora.download import one_at_a_time

COUNTED = {"open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.fsync", "os.truncate", "fcntl.flock"}


def main(url: str, folder: Path, what: str) -> None:
    about = {"title": "t", "licence": "free", "citation": "c", "page": "https://example.org", "splits": "s"}
    row = Dataset(
        "toys", **about, becomes="Corpus", used_by=(), stand_in="", files=(Source(url=f"{url}/a.txt"),)
    )
    program.dataset = lambda name: row  # type: ignore[assignment]
    if what == "once":
        program.main(program.FetchDataset("toys", data=folder / "data", store=folder / "artifacts"))
    else:
        print(json.dumps(kills(row, folder / "data" / "toys")))


def kills(row: Dataset, folder: Path) -> dict[str, object]:
    wrong: list[str] = []
    target, whole = folder / "a.txt", b""
    number, streak = 0, 0
    while True:
        if number % 4 == 0:
            shutil.rmtree(folder, ignore_errors=True)
        status = fork_and_fetch(row, folder, die_at=number)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            wrong.append(f"kill {number}: exit {os.WEXITSTATUS(status)}")
        if target.exists():
            whole = whole or target.read_bytes()
            if target.read_bytes() != whole or not whole.endswith(b"<|endoftext|>\n"):
                wrong.append(f"kill {number}: half a file in place")
        streak = streak + 1 if os.WIFEXITED(status) else 0
        if streak == 4:  # also one that began with nothing got through
            break
        number += 1
    return {"kills": number, "wrong": wrong}


def fork_and_fetch(row: Dataset, folder: Path, die_at: int) -> int:
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    status = 1
    try:
        os.dup2(2, 1)
        count = 0

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            if event in COUNTED and (event == "fcntl.flock" or str(folder) in str(arguments[0])):
                count += 1
                if count > die_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        folder.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(folder / ".lock", "toys"):
            program.fetch(row, folder)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
