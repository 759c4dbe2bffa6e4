"""Commands as jobs of a Slurm cluster, by submitit: arrays with a cap, queued again whenever they are cut short.

Slurm starts a job at least once: after a controller's crash, two may run. Each runner holds a lease for its command; a
second one waits for the first and then finds its work done (`shared.runs.slurm_job`), so outputs stay single.

The folder of a launch holds what submitit pickles for its jobs: trust it as you trust code. What comes back from a job
is a small JSON file.
"""

import contextlib
import io
import json
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import ConfigError
from shared.runs import slurm_start
from shared.runs.config import read_json, write_json
from shared.runs.launch import Command, Launch
from shared.runs.slurm_job import CommandJob, scontrol, word

LOOK_SECONDS = 0.5  # between looks at what jobs leave
PATIENCE_SECONDS = 5.0  # between questions to the controller, which serves everybody, while nothing changes
GONE_AFTER_LOOKS = 20
SUBMISSIONS = 3  # of a job that the controller forgets
LISTED = "launch.json"  # in the folder of a launch: which job runs what, for `make runs`
MANY = 10_000  # a job may reach its time limit so often; the end is the program's own affair
FORGOTTEN, UNREACHABLE = "FORGOTTEN", "UNREACHABLE"  # our own words, beside Slurm's
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")
WAITS = {  # Slurm's reasons for a job in the queue that say too little, or that nobody ends by waiting
    "Resources": "for nodes to become free",
    "Priority": "others come first",
    "BeginTime": "queued again, to start in a moment",
    "PartitionTimeLimit": "it will never start: ask for fewer --minutes, the partition's limit is in `sinfo`",
    "PartitionConfig": "it will never start: ask for fewer --cores, --gpus or less --memory-gb, see `sinfo`",
    "PartitionNodeLimit": "it will never start: ask for fewer --nodes, or another partition in site.toml",
    "JobHeldUser": "held: `scontrol release` frees it",
    "JobHeldAdmin": "held by an administrator",
}
REFUSALS = {  # a word of sbatch's refusal -> what to change
    "partition": "name one in site.toml, partition = ...; this cluster has: {partitions}",
    "account": "name yours in site.toml, account = ...; `sacctmgr show associations user=$USER` lists them",
    "qos": "name one of yours in site.toml, qos = ..., or leave it out",
    "feature": "mend constraint = ... in site.toml; `sinfo --format='%N %f'` lists what nodes offer",
    "reservation": "mend reservation = ... under options in site.toml; `scontrol show reservation` lists them",
    "option": "mend the keys under options in site.toml: each is an option of sbatch without its dashes",
    "time limit": "ask for fewer --minutes: a job that needs longer is queued again and goes on",
    "memory": "ask for less by --memory-gb; {nodes}",
    "node configuration": "ask for less by --cores, --gpus, --nodes or --memory-gb; {nodes}",
    "processors": "ask for less by --cores or --nodes; {nodes}",
    "gres": "ask for fewer --gpus; {nodes}",
    "configuration source": "set SLURM_CONF, or run this where Slurm is set up, as on a login node",
    "contact": "its controller does not answer (`scontrol ping`): try again later; the same command goes on",
}


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


@dataclass(frozen=True)
class Seen:
    """What the controller says of a job: PENDING, RUNNING, ..., FORGOTTEN; UNREACHABLE when it does not answer."""

    state: str
    reason: str = ""
    nodes: str = ""
    restarts: str = "0"

    def told(self, job: Job) -> str:
        """For the one who waits; empty when there is nothing worth a line."""
        if self.state == "PENDING":
            reason = "" if self.reason in ("None", "(null)", "") else self.reason
            waits = ": ".join(filter(None, (reason, WAITS.get(reason))))
            return f"job {job.id} is in the queue{f' ({waits})' if waits else ''}"
        if self.state == "RUNNING":
            again = "" if self.restarts == "0" else f", started again ({self.restarts})"
            return f"job {job.id} runs on {self.nodes}{again}"
        return "Slurm's controller does not answer; asking again" if self.state == UNREACHABLE else ""


def submit(commands: Sequence[Command], how: Launch) -> list[Job]:
    """Hand the commands to Slurm: one job, or an array of at most `how.at_most` at once.

    Raises:
        ConfigError: no Slurm here, or Slurm refused the job; its own words are quoted.
    """
    folder = how.folder.absolute() / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    work = [_command_job(command, how, folder, number) for number, command in enumerate(commands)]
    jobs = _submit(commands, work, how, folder)
    rows = [{"job": job.id, "command": str(job.command), "log": str(job.log)} for job in jobs]
    write_json(folder / LISTED, {"jobs": rows})
    return jobs


def run_jobs(commands: Sequence[Command], how: Launch) -> list[int]:
    """Submit, show the log of a single job as it grows, and wait for the ends; exit statuses in order.

    A command that an earlier launch left in the queue or running is not submitted again, but waited for.
    """
    found = under_way(commands, how)
    new = [number for number in range(len(commands)) if number not in found]
    found |= dict(zip(new, submit([commands[number] for number in new], how), strict=True)) if new else {}
    jobs = [found[number] for number in range(len(commands))]
    for number, job in enumerate(jobs):
        already = "" if number in new else " (submitted before, waiting for it)"
        print(f"job {job.id}: {job.command}{already}\n  log: {job.log}", flush=True)
    waiting = Waiting(jobs, how)
    try:
        statuses = waiting.statuses(show=len(jobs) == 1)
    except KeyboardInterrupt:
        ids = " ".join(job.id for job in waiting.jobs)
        print(
            f"\nno longer waiting; what was submitted goes on. The same command waits for it again; "
            f"`scancel {ids}` ends it, saved where the program saves",
            file=sys.stderr,
        )
        raise
    for job, status in zip(waiting.jobs, statuses, strict=True):
        if status or len(jobs) > 1:
            print(f"{f'exit status {status}' if status else 'done'}: {job.command}  (log: {job.log})")
    return statuses


def under_way(commands: Sequence[Command], how: Launch) -> dict[int, Job]:
    """Jobs of earlier launches that wait or run for one of these commands, by its place among them; the newest wins."""
    found: dict[int, Job] = {}
    places = {str(command): number for number, command in enumerate(commands)}
    for path in sorted(how.folder.absolute().glob(f"*/{LISTED}"), reverse=True):
        for number, row in enumerate(read_json(path)["jobs"]):
            place = places.get(row["command"])
            if place is None or place in found:
                continue
            work = _command_job(commands[place], how, path.parent, number)
            job = Job(row["job"], commands[place], Path(row["log"]), work)
            if not job.status_file.exists() and seen_of(job).state not in (*OVER, FORGOTTEN, UNREACHABLE):
                found[place] = job
    return found


@dataclass
class Watched:
    """A job that is waited for."""

    job: Job
    seen: Seen = Seen("")
    gone_looks: int = 0  # looks in a row at which it was over and had left no status
    submissions: int = 1
    patience_seconds: float = LOOK_SECONDS
    next_look: float = 0.0


class Waiting:
    """Waits for jobs by what they leave and by what Slurm says of them; needs no accounting database.

    A controller that crashes can forget a job for good. Such a job is submitted again: commands may be repeated.
    """

    def __init__(self, jobs: Sequence[Job], how: Launch) -> None:
        self.watched, self.how = [Watched(job) for job in jobs], how
        self.shown_bytes = 0
        self.told = ""

    @property
    def jobs(self) -> list[Job]:
        """The jobs as they are by now: a forgotten one has a new number."""
        return [each.job for each in self.watched]

    def statuses(self, *, show: bool) -> list[int]:
        """The exit statuses, when all jobs are over; `show` the log of the first as it grows."""
        ended: dict[int, int] = {}
        while True:
            for number, each in enumerate(self.watched):
                if number not in ended and (status := self._status(each)) is not None:
                    ended[number] = status
            self._tell(len(ended))
            if show:
                self._show(self.watched[0].job.log, is_over=bool(ended))
            if len(ended) == len(self.watched):
                return [ended[number] for number in range(len(self.watched))]
            time.sleep(LOOK_SECONDS)

    def _status(self, each: Watched) -> int | None:
        job = each.job
        if job.status_file.exists():
            return int(json.loads(job.status_file.read_text())["exit_status"])
        if time.monotonic() < each.next_look:
            return None
        before, each.seen = each.seen, seen_of(job)
        state = each.seen.state
        is_over = state in (*OVER, FORGOTTEN)
        is_news = is_over or each.seen != before
        each.patience_seconds = (
            LOOK_SECONDS if is_news else min(PATIENCE_SECONDS, each.patience_seconds * 1.5)
        )
        each.next_look = time.monotonic() + each.patience_seconds
        # The file may be a moment behind on a network file system: only a lasting absence counts.
        each.gone_looks = each.gone_looks + 1 if is_over else 0
        if each.gone_looks < GONE_AFTER_LOOKS:
            return None
        if state == FORGOTTEN and each.submissions < SUBMISSIONS:
            print(f"Slurm has forgotten job {job.id}: submitting it again", file=sys.stderr)
            self._submit_again(each)
            return None
        print(f"job {job.id} ended as {state} and left no status; its log: {job.log}", file=sys.stderr)
        return 1

    def _submit_again(self, each: Watched) -> None:
        old, folder = each.job, each.job.log.parent
        [each.job] = _submit([old.command], [old.work], self.how, folder)
        each.submissions += 1
        each.gone_looks = self.shown_bytes = 0
        rows = read_json(folder / LISTED)["jobs"]
        new = {"job": each.job.id, "command": str(old.command), "log": str(each.job.log)}
        write_json(folder / LISTED, {"jobs": [new if row["job"] == old.id else row for row in rows]})

    def _tell(self, num_ended: int) -> None:
        """One line whenever something has changed: where a job stands, or how many of an array stand where."""
        if num_ended == len(self.watched):
            return
        if len(self.watched) == 1:
            line = self.watched[0].seen.told(self.watched[0].job)
        else:
            states = Counter(each.seen.state for each in self.watched if not each.job.status_file.exists())
            counts = [f"{num_ended} of {len(self.watched)} jobs over"]
            counts += [
                f"{states[state]} {state.lower()}" for state in ("RUNNING", "PENDING") if states[state]
            ]
            line = ", ".join(counts)
        if line and line != self.told:
            print(line, flush=True)
            self.told = line

    def _show(self, log: Path, *, is_over: bool) -> None:
        """What the log has grown by, in whole lines."""
        try:
            with log.open("rb") as file:
                file.seek(self.shown_bytes)
                new = file.read()
        except FileNotFoundError:
            return
        new = new if is_over else new[: new.rfind(b"\n") + 1]
        self.shown_bytes += len(new)
        lines = new.decode("utf-8", "replace").splitlines(keepends=True)
        sys.stdout.write("".join(line for line in lines if not line.startswith("submitit ")))
        sys.stdout.flush()


def seen_of(job: Job) -> Seen:
    """What the controller says of a job.

    A controller that lost its state gives numbers out again: a job of that number that writes elsewhere is not ours.
    """
    text = scontrol("-o", "show", "job", job.id)
    if str(job.log.parent) in text:
        said = (word(key, text) for key in ("JobState", "Reason", "NodeList", "Restarts"))
        return Seen(*said)
    return Seen(FORGOTTEN if "is UP" in scontrol("ping") else UNREACHABLE)


def _submit(commands: Sequence[Command], work: Sequence[CommandJob], how: Launch, folder: Path) -> list[Job]:
    executor = _executor(commands, how, folder)
    from submitit.core.utils import FailedJobError

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (
            contextlib.redirect_stderr(io.StringIO()),
            executor.batch(),
        ):  # submitit says an error's words twice
            submitted = [executor.submit(job) for job in work]
    except FailedJobError as error:
        if not (folder / LISTED).exists():  # nothing was ever submitted from it
            shutil.rmtree(folder)
        raise ConfigError(f"Slurm refused the job: {_refusal(str(error))}") from None
    return [
        Job(each.job_id, command, Path(each.paths.stdout), job)
        for each, command, job in zip(submitted, commands, work, strict=True)
    ]


def _refusal(said: str) -> str:
    """Slurm's words with what to change."""
    words = "; ".join(line.removeprefix("sbatch: error: ") for line in said.strip().splitlines())
    mend = next((mend for key, mend in REFUSALS.items() if key in words.lower()), "")
    if not mend:
        return f"{words}. See site.toml (docs/slurm.md) and python -m shared.runs.launch --help"
    partitions = ", ".join(_sinfo("%R")) or "(sinfo does not say)"
    nodes = "; ".join(_sinfo("%R: %D nodes of %c cores, %m MB, %G")) or "`sinfo` lists the nodes"
    return f"{words}. To mend it, {mend.format(partitions=partitions, nodes=nodes)}"


def _sinfo(format_: str) -> list[str]:
    command = ["sinfo", "--noheader", f"--format={format_}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return list(dict.fromkeys(line.strip() for line in said.splitlines()))


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

    # In front of submitit's own arguments; no site packages, to be there before a warning can be.
    python = shlex.join([sys.executable, "-S", "-E", str(Path(slurm_start.__file__).absolute())])
    executor = submitit.AutoExecutor(folder, "slurm", slurm_max_num_timeout=MANY, slurm_python=python)
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
        slurm_srun_args=[
            f"--cpus-per-task={how.cores}"
        ],  # since Slurm 22.05 srun does not take it from the job
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
        cores=how.cores,
        grace_seconds=how.grace_seconds,
    )
