"""What a node of a Slurm cluster runs: one command, guarded by a lease, told to save when Slurm warns, queued again.

`CommandJob` is what submitit pickles at the submitting end and calls on the node. It starts the program in a process of
its own, with as many threads as the job has cores, and leaves the exit status in a small JSON file.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.errors import Preempted
from shared.runs.config import write_json
from shared.runs.leases import Leases

LOOK_SECONDS = 0.1  # between looks at the program and at the lease
SAVING_SHARE = 0.8  # of a job's grace, then it is queued again, saved or not: later it would be over for good
FIRST_PORT, PORTS = 10_000, 20_000  # below those that Linux gives to whoever asks for any (32768 and up)
CONTROLLER_LOOKS = 60  # one a second: a controller that is being restarted answers again within that


@dataclass
class CommandJob:
    """A command for a node. Pickled by submitit: only plain values in here."""

    argv: list[str]
    status_file: str
    lease_folder: str
    lease_name: str
    ranks: int = 1
    nodes: int = 1
    cores: int = 1
    grace_seconds: int = 120

    def __call__(self) -> int:
        # submitit listens by now; a warning that came while we were being imported is heard here (see slurm_start).
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        with Leases(Path(self.lease_folder)).held(self._lease_name()) as lease:
            if lease is None:
                print(f"another runner holds {self._lease_name()}: waiting for it", flush=True)
                return self._after_the_other()
            status = self._run(lease)
        is_first = os.environ.get("SLURM_PROCID", "0") == "0"  # of the job's nodes: it speaks for all
        if status in (Preempted.exit_code, -signal.SIGUSR2, -signal.SIGTERM):
            # Asked to stop, by something else than Slurm's warning or before it could listen: the command is not done.
            if is_first:
                requeue_if_running()
            return status
        if is_first:
            write_json(Path(self.status_file), {"exit_status": status})
        if status:
            # Slurm sees the status; an exception would end the program's log with submitit's traceback.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status if 0 < status < 256 else 1)
        return status

    def checkpoint(self) -> Any:
        """Slurm's warning, before pre-emption or the time limit: save, then be queued again as the same job."""
        from submitit.helpers import DelayedSubmission

        child = _CHILDREN.get(self.status_file)
        if child is not None and child.poll() is None:
            child.send_signal(signal.SIGTERM)  # saves at the next step boundary, then exits with 75
            seconds = SAVING_SHARE * self.grace_seconds
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                print(f"not saved within {seconds:g} s: it will go on from its last checkpoint", flush=True)
        return DelayedSubmission(CommandJob(**asdict(self)))

    def _run(self, lease: Any) -> int:
        with subprocess.Popen(self._argv_here(), env=self.environment()) as child:
            _CHILDREN[self.status_file] = child
            while child.poll() is None:
                if lease.is_lost:  # we were thought dead and another runs: two writers are worse than none
                    kill_all(child.pid)
                    raise SystemExit("this runner lost its lease to another and stopped")
                time.sleep(LOOK_SECONDS)
            return child.returncode

    def environment(self) -> dict[str, str]:
        """This process's, with as many threads to a rank as the job has cores for it.

        `sbatch` hands on the variables of the shell that submitted, and where Slurm binds no job to its cores torch
        would take all of the node: neither says what this job was given.
        """
        return {**os.environ, "OMP_NUM_THREADS": str(max(1, self.cores // self.ranks))}

    def _argv_here(self) -> list[str]:
        if self.ranks == 1 and self.nodes == 1:
            return self.argv
        # One torchrun per node; they meet at the first node, on a port that follows from the job's number. That node's
        # number is fixed, so rank 0 is there and what it says is in the log that is shown.
        job = os.environ["SLURM_JOB_ID"]
        first = scontrol("show", "hostnames", os.environ["SLURM_JOB_NODELIST"]).split()[0]
        address = word("NodeAddr", scontrol("-o", "show", "node", first)) or first
        meet = (
            ["--standalone"]
            if self.nodes == 1
            else [
                f"--node-rank={os.environ['SLURM_NODEID']}",
                f"--master-addr={address}",
                f"--master-port={FIRST_PORT + int(job) % PORTS}",
            ]
        )
        python, dash_m, program, *flags = self.argv
        torchrun = [python, "-m", "shared.runs.torchrun", f"--nnodes={self.nodes}"]
        torchrun += [f"--nproc-per-node={self.ranks}", f"--shutdown-timeout={self.grace_seconds}"]
        return [*torchrun, *meet, dash_m, program, *flags]

    def _lease_name(self) -> str:
        return f"{self.lease_name}-node{os.environ.get('SLURM_NODEID', '0')}"

    def _after_the_other(self) -> int:
        leases = Leases(Path(self.lease_folder))
        while True:
            time.sleep(LOOK_SECONDS)
            if Path(self.status_file).exists():
                return int(json.loads(Path(self.status_file).read_text())["exit_status"])
            with leases.held(self._lease_name()) as lease:
                if lease is not None:
                    break
        return self()


_CHILDREN: dict[
    str, subprocess.Popen[bytes]
] = {}  # of this process, by status file: a pickle must not hold them


def kill_all(pid: int) -> None:
    """Kill a process with all that it has started: the ranks of a torchrun live on without it."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def requeue_if_running() -> None:
    """Queue this job again, unless somebody ended it: a cancelled job must not come back."""
    job = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{job}_{os.environ['SLURM_ARRAY_TASK_ID']}" if job else os.environ["SLURM_JOB_ID"]
    for _ in range(CONTROLLER_LOOKS):
        state = word("JobState", scontrol("-o", "show", "job", job))
        if state:
            if state == "RUNNING":
                scontrol("requeue", job)
            return
        time.sleep(1)


def scontrol(*words: str) -> str:
    """What `scontrol` prints; nothing when the controller does not answer."""
    return subprocess.run(["scontrol", *words], capture_output=True, text=True, check=False).stdout


def word(key: str, text: str) -> str:
    """The value of `key=value` in Slurm's one-line descriptions."""
    return next((each.partition("=")[2] for each in text.split() if each.startswith(f"{key}=")), "")
