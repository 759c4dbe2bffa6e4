"""A real Slurm on one machine: a controller and four virtual nodes with fake GPUs, all under one directory.

    with virtual_cluster(directory) as cluster:
        subprocess.run(["sinfo"], env=cluster.environment)

No root, systemd, cgroups or accounting database: slurmd is built with multiple-slurmd, so several nodes run on one
host. Free ports, an own SLURM_CONF, and an own munge key: slurmd listens on every address of the host and runs what it
is sent, so only who can read the directory may send. Two partitions: `low` (the default) is pre-empted and requeued by
`high`. A guard outlives this process and ends all that belongs to the cluster, also when this process is killed.
As a program it keeps a cluster up for trying things by hand: python -m tests.system.slurm.cluster DIRECTORY
"""

import contextlib
import getpass
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shared.runs.slurm_job import word

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "sinfo", "squeue", "scontrol", "scancel")
NODES = ("n1", "n2", "n3", "n4")
GRACE_SECONDS = (
    120  # between the warning of a pre-emption and the kill, at the most: a job that has saved goes
)
LOOK_SECONDS = 0.1  # Slurm tells nobody when a state changes: one has to look
ATTEMPTS = 3  # at starting, each with other ports
DAEMONS = ("munged", "slurmctld", "slurmd", "slurmscriptd")
START_SECONDS = 120  # a loaded machine is slow to start six daemons
PATIENCE_SECONDS = 300  # how long a test looks for something before it fails: others may work on this machine

_CONF = """
ClusterName=virtual
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=cred_expire=5,socket={socket_folder}/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
FirstJobId=1
KillWait=5
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,requeue_setup_env_fail
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
SlurmctldTimeout=10
SlurmdTimeout=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
OverTimeLimit=0
GresTypes=gpu
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
{nodes}
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime={grace} MaxTime=INFINITE State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
"""

# Without an accounting database `sacct` fails, and submitit would know no state of a job. This stands in for it,
# answering from the controller's memory, which outlives a job by MinJobAge (five minutes).
_SACCT = """#!{python}
import re, subprocess, sys
wanted = [a for i, a in enumerate(sys.argv) if i and sys.argv[i - 1] in ("-j", "--jobs")]
print("JobID|State|NodeList|")
text = subprocess.run(["scontrol", "-o", "show", "job"], capture_output=True, text=True).stdout
for line in text.splitlines():
    row = dict(re.findall(r"(\\w+)=(\\S*)", line))
    if "JobId" not in row:
        continue
    array, task = row.get("ArrayJobId"), row.get("ArrayTaskId")
    name = f"{{array}}_{{task}}" if array and task and task.isdigit() else row["JobId"]
    if not wanted or any(name == w or name.split("_")[0] == w.split("_")[0] for w in ",".join(wanted).split(",")):
        print(f"{{name}}|{{row.get('JobState')}}|{{row.get('NodeList')}}|")
"""


def missing_programs() -> list[str]:
    """Slurm programs that are not installed; with any missing there is no cluster."""
    places = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [program for program in PROGRAMS if shutil.which(program, path=places) is None]


@dataclass
class Cluster:
    """A running cluster."""

    root: Path
    environment: dict[str, str]
    socket_folder: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    is_stopping: threading.Event = field(default_factory=threading.Event)

    def start(self, name: str) -> None:
        """Start the controller (`slurmctld`), a node's daemon (`n1` ...) or `munged`."""
        command = ["slurmctld", "-D"] if name == "slurmctld" else ["slurmd", "-D", "-N", name]
        if name == "slurmctld":
            self._begin_with_a_new_job_number()
        if name == "munged":
            places = {"socket": self.socket_folder / "munge", "key-file": self.root / "munge.key"}
            places |= {f"{kind}-file": self.root / f"munged.{kind}" for kind in ("pid", "log", "seed")}
            # --force: the directory may lie where others can write, as under /tmp; the key may not be read by them.
            flags = [f"--{key}={path}" for key, path in places.items()]
            command = ["munged", "--foreground", "--force", *flags]
        with (self.root / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def _begin_with_a_new_job_number(self) -> None:
        """A killed controller forgets its last jobs, and a node that sees one of their numbers again is drained."""
        conf = self.root / "slurm.conf"
        text = conf.read_text()
        [number] = re.findall(r"^FirstJobId=(\d+)$", text, re.MULTILINE)
        conf.write_text(text.replace(f"FirstJobId={number}\n", f"FirstJobId={int(number) + 1000}\n"))

    def kill(self, name: str) -> None:
        """`kill -9` of a daemon and, for a node, of everything that runs on it: the power cord."""
        daemon = self.daemons.pop(name)
        daemon.kill()
        daemon.wait()
        if name != "slurmctld":
            for pid in self.processes_of(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def run(self, *command: str) -> str:
        """A Slurm command's output. Raises: CalledProcessError."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(
                f"{' '.join(command)} ended with {done.returncode}: {done.stderr}{done.stdout}"
            )
        return done.stdout

    def wait_for(self, what: str, is_so: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Look until it is so. Raises: AssertionError: it did not come in time; the controller's log is shown."""
        until = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > until:
                log = (self.root / "slurmctld.log").read_text(errors="replace")[-3000:]
                raise AssertionError(f"waited {seconds:.0f} s in vain for {what}\n{self.queue()}\n{log}")
            self.is_stopping.wait(LOOK_SECONDS)

    def queue(self) -> str:
        """The jobs, one a line: id, partition, state, node, restarts."""
        with contextlib.suppress(AssertionError):
            return self.run("squeue", "--noheader", "--format=%i %P %T %N %r")
        return ""

    def nodes(self) -> list[str]:
        """Each node with its state."""
        return self.run("sinfo", "--noheader", "--Node", "--partition=low", "--format=%N %T").splitlines()

    def is_up(self) -> bool:
        """Whether every node waits for work. Raises: PortTaken: a daemon has ended."""
        for name, daemon in self.daemons.items():
            if daemon.poll() is not None:
                said = (self.root / f"{name}.out").read_text(errors="replace")[-2000:]
                raise PortTaken(f"{name} ended with {daemon.returncode} as it started:\n{said}")
        with contextlib.suppress(AssertionError):  # the controller is not up yet
            states = self.run("sinfo", "--noheader", "--Node", "--partition=low", "--format=%t").split()
            return states == ["idle"] * len(NODES)
        return False

    def said_of(self, job: str, key: str) -> str:
        """What the controller says of a job under a key: JobState, Restarts, NodeList, ..."""
        return word(key, self.run("scontrol", "-o", "show", "job", job))

    def state_of(self, job: str) -> str:
        """The state of a job: PENDING, RUNNING, COMPLETED, ..."""
        return self.said_of(job, "JobState")

    def restarts_of(self, job: str) -> int:
        """How often a job was started again."""
        return int(self.said_of(job, "Restarts"))

    def nodes_of(self, job: str) -> list[str]:
        """Where a job runs, in Slurm's order."""
        return self.run("scontrol", "show", "hostnames", self.said_of(job, "NodeList")).split()

    def processes_of(self, node: str | None = None) -> list[int]:
        """This cluster's job processes (on a node) and the daemons that look after them, the daemons first."""
        steps, jobs = set(), []
        for pid, variables in members_of(self.root).items():
            if _is_step_daemon(pid):
                steps |= {pid} if node is None else set()
            elif any(variable.startswith("SLURM_JOB_ID=") for variable in variables) and (
                node is None or f"SLURMD_NODENAME={node}" in variables
            ):
                jobs.append(pid)
                steps |= {above for above in _ancestors(pid) if _is_step_daemon(above)}
        return [*steps, *jobs]

    @contextlib.contextmanager
    def operator(self) -> Iterator[None]:
        """Somebody who gives drained nodes and held jobs free again, as after a crash of the controller."""
        done = threading.Event()

        def look_after() -> None:
            while not done.wait(0.5):
                with contextlib.suppress(AssertionError):
                    for line in self.nodes():
                        node, state = line.split()
                        if "drain" in state or "down" in state:
                            self.run("scontrol", "update", f"nodename={node}", "state=resume")
                with contextlib.suppress(AssertionError):
                    for line in self.queue().splitlines():
                        if "held" in line.lower():
                            self.run("scontrol", "release", line.split()[0])

        thread = threading.Thread(target=look_after, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def stop(self) -> None:
        """End every daemon and every process of a job; nothing of a cluster is worth saving."""
        self.is_stopping.set()
        for daemon in self.daemons.values():
            daemon.kill()
        for daemon in self.daemons.values():
            daemon.wait()
        end_all(self.root)


@contextlib.contextmanager
def virtual_cluster(root: Path) -> Iterator[Cluster]:
    """Start a cluster in a directory, wait until every node is idle, and leave nothing of it behind.

    Raises:
        AssertionError: it did not come up, thrice; what its daemons said is shown.
    """
    root.mkdir(parents=True, exist_ok=True)
    # A socket's path may have no more than 108 bytes; a test's directory can have more.
    with tempfile.TemporaryDirectory(prefix="munge-") as socket_folder, guard(root, socket_folder):
        for attempt in range(ATTEMPTS):
            cluster = Cluster(root, configure(root, Path(socket_folder)), Path(socket_folder))
            try:
                cluster.start("munged")
                cluster.wait_for("munge", (Path(socket_folder) / "munge").exists, START_SECONDS)
                for name in ("slurmctld", *NODES):
                    cluster.start(name)
                cluster.wait_for("four idle nodes", cluster.is_up, START_SECONDS)
            except PortTaken:
                cluster.stop()
                if attempt + 1 == ATTEMPTS:
                    raise
                continue
            except BaseException:
                cluster.stop()
                raise
            try:
                yield cluster
            finally:
                cluster.stop()
            return


class PortTaken(AssertionError):
    """A daemon ended as it started: somebody took its port between our look and its start."""


@contextlib.contextmanager
def guard(root: Path, socket_folder: str) -> Iterator[None]:
    """A process that ends the cluster's processes when this one is gone, in whatever way it went."""
    code = (
        "import shutil, sys; from tests.system.slurm.cluster import end_all; sys.stdin.read(); "
        f"end_all({str(root)!r}); shutil.rmtree({socket_folder!r}, ignore_errors=True)"
    )
    command = [sys.executable, "-c", code]
    place = Path(__file__).resolve().parents[3]
    with subprocess.Popen(command, cwd=place, stdin=subprocess.PIPE, start_new_session=True) as watcher:
        try:
            yield
        finally:
            assert watcher.stdin is not None
            watcher.stdin.close()
            watcher.wait()


def end_all(root: Path | str) -> None:
    """Kill whatever has this cluster's SLURM_CONF in its environment and is a daemon or a job's, until none is left."""
    while members := [
        pid for pid, variables in members_of(Path(root)).items() if _is_clusters_own(pid, variables)
    ]:
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        threading.Event().wait(LOOK_SECONDS / 10)


def members_of(root: Path) -> dict[int, list[str]]:
    """The processes that live with this cluster's SLURM_CONF, and their environments."""
    wanted = f"SLURM_CONF={root / 'slurm.conf'}"
    return {
        pid: variables
        for pid, variables in _environments().items()
        if wanted in variables and pid != os.getpid()
    }


def _is_clusters_own(pid: int, variables: list[str]) -> bool:
    if any(variable.startswith("SLURM_JOB_ID=") for variable in variables) or _is_step_daemon(pid):
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() in DAEMONS
    return False


def configure(root: Path, socket_folder: Path) -> dict[str, str]:
    """Write the cluster's files; the environment in which Slurm's commands mean this cluster."""
    key = root / "munge.key"
    key.unlink(missing_ok=True)
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(1024))
    for name in ("state", "bin", *(f"spool-{node}" for node in NODES)):
        shutil.rmtree(root / name, ignore_errors=True)  # of an earlier cluster: it would start its jobs again
        (root / name).mkdir()
    host = socket.gethostname().split(".")[0]
    controller_port, *node_ports = free_ports(1 + len(NODES))
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=8192 "
        "Gres=gpu:2 State=UNKNOWN"
        for node, port in zip(NODES, node_ports, strict=True)
    )
    conf = _CONF.format(
        host=host,
        user=getpass.getuser(),
        root=root,
        socket_folder=socket_folder,
        controller_port=controller_port,
        nodes=nodes,
        grace=GRACE_SECONDS,
    )
    (root / "slurm.conf").write_text(conf)
    (root / "gres.conf").write_text("NodeName=n[1-4] Name=gpu File=/dev/tty[0-1]\n")
    sacct = root / "bin" / "sacct"
    sacct.write_text(_SACCT.format(python=sys.executable))
    sacct.chmod(sacct.stat().st_mode | stat.S_IXUSR)
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_"))},
        "SLURM_CONF": str(root / "slurm.conf"),
        "PATH": f"{root / 'bin'}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
    }


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _environments() -> dict[int, list[str]]:
    """The environment of every process that we may look at."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = path.read_bytes().decode("utf-8", "replace").split("\0")
    return found


def _is_step_daemon(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"slurmstepd:")
    return False


def _ancestors(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError, IndexError):
        while pid > 1:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            yield pid


def main() -> None:
    """Keep a cluster up until Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    with contextlib.suppress(KeyboardInterrupt), virtual_cluster(Path(sys.argv[1]).absolute()) as cluster:
        paths = f"{cluster.root / 'bin'}:$PATH:/usr/sbin"
        print(f'export SLURM_CONF="{cluster.environment["SLURM_CONF"]}" PATH="{paths}"', flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
