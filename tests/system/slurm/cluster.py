"""A real Slurm on one machine: a controller and four virtual nodes with fake GPUs, all under one directory.

    with virtual_cluster(directory) as cluster:
        subprocess.run(["sinfo"], env=cluster.environment)

No root, munge, systemd, cgroups or accounting database: slurmd is built with multiple-slurmd, so several nodes run on
one host. Free ports, an own SLURM_CONF. Two partitions: `low` (the default) is pre-empted and requeued by `high`.
As a program it keeps a cluster up for trying things by hand: python -m tests.system.slurm.cluster DIRECTORY
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "sinfo", "squeue", "scontrol", "scancel")
NODES = ("n1", "n2", "n3", "n4")
GRACE_SECONDS = 20  # between the warning of a pre-emption and the kill
LOOK_SECONDS = 0.1  # Slurm tells nobody when a state changes: one has to look
START_SECONDS = 60  # a loaded machine is slow to start five daemons

_CONF = """
ClusterName=virtual
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,requeue_setup_env_fail
SlurmctldParameters=preempt_send_user_signal
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
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    is_stopping: threading.Event = field(default_factory=threading.Event)

    def start(self, name: str) -> None:
        """Start the controller (`slurmctld`) or a node's daemon (`n1` ...)."""
        command = ["slurmctld", "-D"] if name == "slurmctld" else ["slurmd", "-D", "-N", name]
        with (self.root / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

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

    def wait_for(self, what: str, is_so: Callable[[], bool], seconds: float = 60) -> None:
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

    def state_of(self, job: str) -> str:
        """The state of a job: PENDING, RUNNING, COMPLETED, ..."""
        for word in self.run("scontrol", "-o", "show", "job", job).split():
            if word.startswith("JobState="):
                return word.removeprefix("JobState=")
        return "UNKNOWN"

    def processes_of(self, node: str | None = None) -> list[int]:
        """This cluster's job processes (on a node) and the daemons that look after them, the daemons first."""
        steps, jobs = set(), []
        for pid, variables in _environments().items():
            if f"SLURM_CONF={self.environment['SLURM_CONF']}" not in variables or pid == os.getpid():
                continue
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
        """End every daemon and every process of a job."""
        self.is_stopping.set()
        for daemon in self.daemons.values():
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for pid in self.processes_of():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def virtual_cluster(root: Path) -> Iterator[Cluster]:
    """Start a cluster in a directory, wait until every node is idle, and leave nothing of it behind."""
    root.mkdir(parents=True, exist_ok=True)
    environment = configure(root)
    cluster = Cluster(root, environment)
    try:
        cluster.start("slurmctld")
        for node in NODES:
            cluster.start(node)
        cluster.wait_for("four idle nodes", lambda: _idle(cluster) == len(NODES), START_SECONDS)
        yield cluster
    finally:
        cluster.stop()


def configure(root: Path) -> dict[str, str]:
    """Write the cluster's files; the environment in which Slurm's commands mean this cluster."""
    for name in ("state", "bin", *(f"spool-{node}" for node in NODES)):
        (root / name).mkdir(exist_ok=True)
    host = socket.gethostname().split(".")[0]
    controller_port, *node_ports = free_ports(1 + len(NODES))
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=2000 "
        "Gres=gpu:2 State=UNKNOWN"
        for node, port in zip(NODES, node_ports, strict=True)
    )
    conf = _CONF.format(
        host=host,
        user=getpass.getuser(),
        root=root,
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


def _idle(cluster: Cluster) -> int:
    try:
        return (
            cluster.run("sinfo", "--noheader", "--Node", "--partition=low", "--format=%t")
            .split()
            .count("idle")
        )
    except AssertionError:  # the controller is not up yet
        return 0


def main() -> None:
    """Keep a cluster up until Ctrl-C."""
    with virtual_cluster(Path(sys.argv[1]).absolute()) as cluster:
        print(
            f"export SLURM_CONF={cluster.environment['SLURM_CONF']} PATH={cluster.root}/bin:$PATH", flush=True
        )
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
