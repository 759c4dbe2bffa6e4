"""A small program for the cluster tests: it works for a while, says what it saw, and saves when it is told to stop."""

import argparse
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from shared.runs.parallel import available_cores


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--name", default="")
    parser.add_argument("--value", default="0")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--status", type=int, default=0)
    parser.add_argument("--until-restarts", type=int, default=0, help="end only when restarted so often")
    parser.add_argument("--deaf", action="store_true", help="never stop when asked to")
    parser.add_argument("--all-reduce", action="store_true")
    options = parser.parse_args()
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGUSR2) if options.deaf else ():
        signal.signal(number, signal.SIG_IGN)
    if not options.deaf:
        signal.signal(signal.SIGTERM, lambda number, frame: asked.set())
    print("this is the job speaking, value", options.value, flush=True)
    said: dict[str, object] = {
        "value": options.value,
        "restarts": os.environ.get("SLURM_RESTART_COUNT", "0"),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "cores": available_cores(),
        "began": time.time(),
    }
    (options.folder / "began").touch()
    if options.all_reduce:
        said |= all_reduce()
    is_early = int(str(said["restarts"])) < options.until_restarts
    asked.wait(None if is_early else options.seconds)
    say(options.folder, {**said, "saved": asked.is_set(), "ended": time.time()})
    if asked.is_set():
        print("saved; the same command goes on from there", flush=True)
        return 75
    (options.folder / f"output-{options.value}").write_text(options.value)
    return options.status


def all_reduce() -> dict[str, object]:
    """The rank and the sum of all ranks."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    total = torch.tensor([dist.get_rank()])
    dist.all_reduce(total)
    rank = dist.get_rank()
    dist.destroy_process_group()
    return {"rank": rank, "sum": int(total)}


def say(folder: Path, what: dict[str, object]) -> None:
    """Append a line in one write, so that lines of several processes stay whole."""
    descriptor = os.open(folder / "said.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, (json.dumps(what) + "\n").encode())
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
