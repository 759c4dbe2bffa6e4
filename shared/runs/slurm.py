"""Commands as jobs of a Slurm cluster, by submitit: arrays with a cap, queued again whenever they are cut short.

Slurm starts a job at least once: after a controller's crash, two may run. Each runner holds a lease for its command; a
second one waits for the first and then finds its work done (`shared.runs.leases`), so outputs stay single.

The folder of a launch holds what submitit pickles for its jobs: trust it as you trust code. What comes back from a job
is a small JSON file.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.errors import ConfigError, Preempted
from shared.runs.config import write_json
from shared.runs.launch import Command, Launch
from shared.runs.leases import Leases

LOOK_SECONDS = 0.5  # between looks at jobs
GONE_AFTER_LOOKS = 20
SUBMISSIONS = 3  # of a job that the controller forgets
MANY = 10_000  # a job may reach its time limit so often; the end is the program's own affair
FORGOTTEN, UNREACHABLE = "FORGOTTEN", "UNREACHABLE"  # our own words, beside Slurm's
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")


@dataclass
class CommandJob:
    """What a node runs: the command in a process of its own, told to save when Slurm warns. Pickled by submitit."""

    argv: list[str]
    status_file: str
    lease_folder: str
    lease_name: str
    ranks: int = 1
    nodes: int = 1

    def __call__(self) -> int:
        with Leases(Path(self.lease_folder)).held(self._lease_name()) as lease:
            if lease is None:
                print(f"another runner holds {self._lease_name()}: waiting for it", flush=True)
                return self._after_the_other()
            status = self._run(lease)
        if status == Preempted.exit_code:
            # Asked to stop by something else than Slurm's warning; the command is not done, and says how to go on.
            self._requeue()
            return status
        if os.environ.get("SLURM_PROCID", "0") == "0":
            write_json(Path(self.status_file), {"exit_status": status})
        if status:
            raise SystemExit(status)
        return status

    def checkpoint(self) -> Any:
        """Slurm's warning, before pre-emption or the time limit: save, then be queued again as the same job."""
        from submitit.helpers import DelayedSubmission

        child = _CHILDREN.get(self.status_file)
        if child is not None and child.poll() is None:
            child.send_signal(signal.SIGTERM)  # saves at the next step boundary, then exits with 75
            child.wait()
        return DelayedSubmission(CommandJob(**asdict(self)))

    def _run(self, lease: Any) -> int:
        with subprocess.Popen(self._argv_here()) as child:
            _CHILDREN[self.status_file] = child
            while child.poll() is None:
                if lease.is_lost:  # we were thought dead and another runs: two writers are worse than none
                    child.kill()
                    raise SystemExit("this runner lost its lease to another and stopped")
                time.sleep(LOOK_SECONDS / 5)
            return child.returncode

    def _argv_here(self) -> list[str]:
        if self.ranks == 1 and self.nodes == 1:
            return self.argv
        # One torchrun per node; they meet at the first node, on a port that follows from the job's number.
        job = os.environ["SLURM_JOB_ID"]
        first = _scontrol("show", "hostnames", os.environ["SLURM_JOB_NODELIST"]).split()[0]
        address = _word("NodeAddr", _scontrol("-o", "show", "node", first)) or first
        port = 20_000 + int(job) % 40_000
        meet = (
            ["--standalone"]
            if self.nodes == 1
            else [
                f"--node-rank={os.environ['SLURM_NODEID']}",
                f"--rdzv-id={job}",
                f"--rdzv-endpoint={address}:{port}",
                "--rdzv-backend=c10d",
            ]
        )
        python, dash_m, program, *flags = self.argv
        torchrun = [python, "-m", "torch.distributed.run", f"--nnodes={self.nodes}"]
        return [*torchrun, f"--nproc-per-node={self.ranks}", *meet, dash_m, program, *flags]

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

    def _requeue(self) -> None:
        job = os.environ.get("SLURM_ARRAY_JOB_ID")
        job = f"{job}_{os.environ['SLURM_ARRAY_TASK_ID']}" if job else os.environ["SLURM_JOB_ID"]
        _scontrol("requeue", job)


_CHILDREN: dict[
    str, subprocess.Popen[bytes]
] = {}  # of this process, by status file: a pickle must not hold them


@dataclass(frozen=True)
class Job:
    """A submitted command."""

    id: str
    command: Command
    log: Path
    work: CommandJob

    @property
    def status_file(self) -> Path:
        """Where the job leaves its exit status."""
        return Path(self.work.status_file)


def submit(commands: Sequence[Command], how: Launch) -> list[Job]:
    """Hand the commands to Slurm: one job, or an array of at most `how.at_most` at once.

    Raises:
        ConfigError: no Slurm here, or Slurm refused the job; its own words are quoted.
    """
    folder = how.folder.absolute() / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    folder.mkdir(parents=True)
    work = [_command_job(command, how, folder, number) for number, command in enumerate(commands)]
    jobs = _submit(commands, work, how, folder)
    _list(jobs, folder)
    return jobs


def run_jobs(commands: Sequence[Command], how: Launch) -> list[int]:
    """Submit, show the log of a single job as it grows, and wait for the ends; exit statuses in order."""
    jobs = submit(commands, how)
    for job in jobs:
        print(f"job {job.id}: {job.command}\n  log: {job.log}", flush=True)
    waiting = Waiting(jobs, how)
    try:
        return waiting.statuses(show=len(jobs) == 1)
    except KeyboardInterrupt:
        ids = " ".join(job.id for job in waiting.jobs)
        print(f"\nno longer waiting; the jobs go on. To end them: scancel {ids}", file=sys.stderr)
        raise


class Waiting:
    """Waits for jobs by what they leave and by what Slurm says of them; needs no accounting database.

    A controller that crashes can forget a job for good. Such a job is submitted again: commands may be repeated.
    """

    def __init__(self, jobs: Sequence[Job], how: Launch) -> None:
        self.jobs, self.how = list(jobs), how
        self.gone_looks = [0] * len(
            self.jobs
        )  # looks in a row at which the job was over and had left no status
        self.submissions = [1] * len(self.jobs)
        self.shown_bytes = 0

    def statuses(self, *, show: bool) -> list[int]:
        """The exit statuses, when all jobs are over."""
        ended: dict[int, int] = {}
        while True:
            for number in range(len(self.jobs)):
                if number not in ended and (status := self._status(number)) is not None:
                    ended[number] = status
            if show:
                self._show(self.jobs[0].log)
            if len(ended) == len(self.jobs):
                return [ended[number] for number in range(len(self.jobs))]
            time.sleep(LOOK_SECONDS)

    def _status(self, number: int) -> int | None:
        job = self.jobs[number]
        if job.status_file.exists():
            return int(json.loads(job.status_file.read_text())["exit_status"])
        state = state_of(job)
        # The file may be a moment behind on a network file system: only a lasting absence counts.
        self.gone_looks[number] = self.gone_looks[number] + 1 if state in (*OVER, FORGOTTEN) else 0
        if self.gone_looks[number] < GONE_AFTER_LOOKS:
            return None
        if state == FORGOTTEN and self.submissions[number] < SUBMISSIONS:
            print(f"Slurm has forgotten job {job.id}: submitting it again", file=sys.stderr)
            [self.jobs[number]] = _submit([job.command], [job.work], self.how, job.log.parent)
            self.submissions[number] += 1
            self.gone_looks[number] = self.shown_bytes = 0
            _list(self.jobs, job.log.parent)
            return None
        print(f"job {job.id} ended as {state} and left no status; its log: {job.log}", file=sys.stderr)
        return 1

    def _show(self, log: Path) -> None:
        try:
            with log.open("rb") as file:
                file.seek(self.shown_bytes)
                new = file.read()
        except FileNotFoundError:
            return
        self.shown_bytes += len(new)
        lines = new.decode("utf-8", "replace").splitlines(keepends=True)
        sys.stdout.write("".join(line for line in lines if not line.startswith("submitit ")))
        sys.stdout.flush()


def state_of(job: Job) -> str:
    """What the controller says of a job: PENDING, RUNNING, ..., FORGOTTEN; UNREACHABLE when it does not answer.

    A controller that lost its state gives numbers out again: a job of that number that writes elsewhere is not ours.
    """
    text = _scontrol("-o", "show", "job", job.id)
    if str(job.log.parent) in text:
        return _word("JobState", text)
    return FORGOTTEN if "is UP" in _scontrol("ping") else UNREACHABLE


def _scontrol(*words: str) -> str:
    """What `scontrol` prints; nothing when the controller does not answer."""
    return subprocess.run(["scontrol", *words], capture_output=True, text=True, check=False).stdout


def _word(key: str, text: str) -> str:
    """The value of `key=value` in Slurm's one-line descriptions."""
    return next((word.partition("=")[2] for word in text.split() if word.startswith(f"{key}=")), "")


def _submit(commands: Sequence[Command], work: Sequence[CommandJob], how: Launch, folder: Path) -> list[Job]:
    executor = _executor(commands, how, folder)
    from submitit.core.utils import FailedJobError

    try:
        with executor.batch():
            submitted = [executor.submit(job) for job in work]
    except FailedJobError as error:
        raise ConfigError(
            f"Slurm refused the job: {str(error).strip()}; see partition, account and limits in site.toml and the "
            "options of python -m shared.runs.launch --help"
        ) from None
    return [
        Job(each.job_id, command, Path(each.paths.stdout), job)
        for each, command, job in zip(submitted, commands, work, strict=True)
    ]


def _list(jobs: Sequence[Job], folder: Path) -> None:
    """Write down which job runs what and where its log is, for `make runs`."""
    rows = [{"job": job.id, "command": str(job.command), "log": str(job.log)} for job in jobs]
    write_json(folder / "launch.json", {"jobs": rows})


def batch_script(commands: Sequence[Command], how: Launch) -> str:
    """The script that `sbatch` would get."""
    executor: Any = _executor(commands, how, how.folder.absolute() / "DRY-RUN")
    slurm = executor._executor  # the part of submitit that writes the script offers no public name for it
    if len(commands) > 1:
        slurm.parameters["map_count"] = len(commands)
    listed = "\n".join(f"#   {command}" for command in commands)
    return (
        f"{slurm._make_submission_file_text(slurm._submitit_command_str, 'dry-run')}\n# which runs\n{listed}"
    )


def _executor(commands: Sequence[Command], how: Launch, folder: Path) -> Any:
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise ConfigError(
            "LAUNCH=slurm needs Slurm's sbatch and srun here; LAUNCH=local and torchrun need nothing"
        )
    import submitit

    executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=MANY)
    site = {key: getattr(how.site, key) for key in ("partition", "account", "constraint", "qos")}
    executor.update_parameters(
        name=commands[0].program.rpartition(".")[2],
        timeout_min=how.minutes,
        mem_gb=how.memory_gb,
        nodes=how.nodes,
        tasks_per_node=1,
        cpus_per_task=how.cores,
        stderr_to_stdout=True,
        slurm_array_parallelism=how.at_most,
        slurm_signal_delay_s=how.grace_seconds,
        slurm_setup=list(how.site.setup),
        slurm_additional_parameters={"requeue": True, **how.site.options},
        **({"gpus_per_node": how.gpus} if how.gpus else {}),
        **{f"slurm_{key}": value for key, value in site.items() if value},
    )
    return executor


def _command_job(command: Command, how: Launch, folder: Path, number: int) -> CommandJob:
    return CommandJob(
        argv=command.argv(),
        status_file=str(folder / f"status-{number}.json"),
        lease_folder=str(folder / "leases"),
        lease_name=f"command-{number}",
        ranks=how.ranks,
        nodes=how.nodes,
    )
