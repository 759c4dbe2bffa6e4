"""Launching here and over ranks, arrays, site files; what needs a cluster is in tests/system/slurm."""

import itertools
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared import journey
from shared.errors import ConfigError
from shared.journeys import Step
from shared.runs import launch as launching
from shared.runs import slurm
from shared.runs.compare import launched_jobs
from shared.runs.launch import Command, Launch, Site, array, describe, launch, local_argv, read_site

PROGRAM = "tests.system.slurm.job"


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[3])


def test_local_command_gives_its_output_and_status(tmp_path, capfd):
    command = Command(PROGRAM, ("--folder", str(tmp_path), "--status", "5"))
    assert launch([command]) == [5]
    assert "this is the job speaking" in capfd.readouterr().out


def test_several_local_commands_have_a_log_and_a_line_each_in_order(tmp_path, capfd):
    commands = array(Command(PROGRAM, ("--folder", str(tmp_path))), {"status": ["0", "3"], "value": ["a"]})
    assert launch(commands, Launch(folder=tmp_path / "logs")) == [0, 3]
    said = capfd.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["done", "exit status 3"]
    assert "value a" in (tmp_path / "logs" / f"0001-{PROGRAM}.log").read_text()


def test_torchrun_gives_every_rank_its_place(tmp_path):
    command = Command(PROGRAM, ("--folder", str(tmp_path), "--all-reduce"))
    assert launch([command], Launch("torchrun", ranks=2)) == [0]
    said = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert sorted((one["rank"], one["sum"]) for one in said) == [(0, 1), (1, 1)]


def test_torchrun_ends_with_the_status_of_its_ranks(tmp_path):
    command = Command(PROGRAM, ("--folder", str(tmp_path), "--status", "3"))
    assert launch([command], Launch("torchrun", ranks=2)) == [3]


def test_torchrun_outlives_a_warning_and_waits_for_ranks_that_save(tmp_path):
    """Slurm sends its warning (USR2) to every process of a job; the ranks save, and are to be resumed."""
    command = Command(PROGRAM, ("--folder", str(tmp_path), "--seconds", "600"))
    argv = local_argv(command, Launch("torchrun", ranks=2))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as torchrun:
        assert torchrun.stdout is not None
        said = (line for line in torchrun.stdout if "this is the job speaking" in line)
        assert len(list(itertools.islice(said, 2))) == 2, "both listen"
        torchrun.send_signal(signal.SIGUSR2)
        torchrun.send_signal(signal.SIGTERM)
    assert torchrun.returncode == 75
    saved = [json.loads(line)["saved"] for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert saved == [True, True]


def test_described_command_is_the_one_that_runs():
    command = Command("a.run.b", ("--name", "two words"))
    for how in (Launch(), Launch("torchrun", ranks=2)):
        assert shlex.split(describe([command], how))[1:] == local_argv(command, how)[1:]


def test_array_is_the_product_and_every_member_has_a_name_of_its_own():
    each = {"lr": ["1e-3", "3e-3"], "model.d-model": ["64", "128"]}
    commands = array(Command("a.run.train", ("--preset", "x", "--name=base")), each)
    assert len(commands) == len({command.flags for command in commands}) == 4
    names = [command.flags[command.flags.index("--name") + 1] for command in commands]
    assert names == [
        "base-lr1e-3-d-model64",
        "base-lr1e-3-d-model128",
        "base-lr3e-3-d-model64",
        "base-lr3e-3-d-model128",
    ]
    assert all(
        "--name=base" not in command.flags and command.flags[:2] == ("--preset", "x") for command in commands
    )


def test_site_file_is_read(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text('partition = "gpu"\nsetup = ["module load cuda"]\noptions = {reservation = "course"}\n')
    assert read_site(path) == Site("gpu", setup=("module load cuda",), options={"reservation": "course"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partiton = 'gpu'", "unknown key 'partiton'.*partition"),
        ("partition = ", "is no TOML"),
        ("setup = 'module load cuda'", r'setup = .*should be like setup = \["module load'),
        ("setup = [['module load cuda']]", r'should be like setup = \["module load'),
        ("account = 7", r'account = 7 should be like account = "..." in quotes'),
        ("options = 'reservation=course'", r"should be like options = \{ reservation"),
    ],
)
def test_wrong_site_file_is_named_with_its_mend(tmp_path, text, said):
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_site(path)


def test_site_file_that_was_asked_for_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match=r"docs/slurm\.md"):
        read_site(tmp_path / "absent.toml")


def test_nodes_need_a_cluster():
    with pytest.raises(ConfigError, match=r"2 nodes need LAUNCH=slurm"):
        launch([Command(PROGRAM)], Launch("torchrun", nodes=2))


def test_without_slurm_the_error_names_what_works(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert launching.main(["--launch", "slurm", "--dry-run", PROGRAM]) == 2
    assert (
        "needs Slurm's sbatch and srun here; LAUNCH=local and torchrun need nothing"
        in capsys.readouterr().err
    )


def test_values_of_each_are_asked_for(capsys):
    assert launching.main(["--each", "lr", "--dry-run", PROGRAM]) == 2
    assert "wanted FLAG=VALUE,VALUE" in capsys.readouterr().err


def test_dry_run_starts_nothing(tmp_path, capsys):
    assert launching.main(["--dry-run", PROGRAM, "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == f"python -m {PROGRAM} --folder {tmp_path}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--cores 0", "--cores 0: at least 1"),
        ("--memory-gb 0", "--memory-gb 0.0"),
        ("--launch slurm --minutes 2", "--grace-seconds 120 leaves nothing of --minutes 2"),
    ],
)
def test_sizes_that_cannot_be_are_refused_before_anything_starts(flags, said, capsys):
    assert launching.main([*flags.split(), PROGRAM]) == 2
    assert said in capsys.readouterr().err


def test_wrong_site_file_does_not_stop_what_needs_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.toml").write_text("partiton = 'gpu'")
    assert launching.main(["--dry-run", PROGRAM]) == 0
    assert launching.main(["--launch", "slurm", "--dry-run", PROGRAM]) == 2


def test_steps_that_need_no_gpu_ask_for_none():
    cluster = Launch("slurm", gpus=1)
    steps = [Step("any", f"a1_basics.run.{name}") for name in ("encode", "train_lm")]
    assert [journey.launch_of(step, cluster).gpus for step in steps] == [0, 1]


def test_steps_on_several_ranks_are_started_by_torchrun_here_and_by_the_job_on_a_cluster():
    step = Step("any", "a2_systems.run.train_parallel", ranks=2)
    assert journey.launch_of(step, Launch()) == Launch("torchrun", ranks=2)
    assert journey.launch_of(step, Launch("slurm")) == Launch("slurm", ranks=2)


JOB = slurm.Job("7", Command(PROGRAM), Path("/launch/x/7_0_log.out"), slurm.CommandJob([], "", "", ""))


@pytest.mark.parametrize(
    ("controller", "told"),
    [
        ("JobState=PENDING Reason=None", "job 7 is in the queue"),
        ("JobState=PENDING Reason=Resources", r"in the queue \(Resources: for nodes to become free\)"),
        ("JobState=PENDING Reason=PartitionTimeLimit", r"never start: ask for fewer --minutes"),
        ("JobState=RUNNING NodeList=n3 Restarts=0", "job 7 runs on n3$"),
        ("JobState=RUNNING NodeList=n3 Restarts=2", r"runs on n3, started again \(2\)"),
    ],
)
def test_who_waits_is_told_where_the_job_stands(monkeypatch, controller, told):
    said = f"JobId=7 {controller} StdOut=/launch/x/7_0_log.out"
    monkeypatch.setattr(slurm, "scontrol", lambda *words: said)
    assert re.search(told, slurm.seen_of(JOB).told(JOB))


def test_a_job_of_our_number_that_is_not_ours_counts_as_forgotten_and_silence_as_silence(monkeypatch):
    answers = {"show": "JobId=7 JobState=RUNNING StdOut=/elsewhere/log", "ping": "Slurmctld is UP"}
    monkeypatch.setattr(
        slurm, "scontrol", lambda *words: answers[words[0] if words[0] in answers else "show"]
    )
    assert slurm.seen_of(JOB).state == slurm.FORGOTTEN
    answers |= {"show": "", "ping": "Slurmctld is DOWN"}
    assert "does not answer" in slurm.seen_of(JOB).told(JOB)


def test_jobs_are_found_by_their_launch(tmp_path):
    for name, job in (("20260102-1", "8"), ("20260101-1", "7")):
        folder = tmp_path / "launch" / name
        folder.mkdir(parents=True)
        rows = [{"job": job, "command": f"python -m {sys.argv[0]}", "log": f"{folder}/log"}]
        (folder / "launch.json").write_text(json.dumps({"jobs": rows}))
    assert [job for job, _, _ in launched_jobs(tmp_path)] == ["7", "8"]
