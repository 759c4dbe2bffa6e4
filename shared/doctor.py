"""`make doctor`: what this machine offers the workspace, and the mend for what is missing.

Nothing here fails a run: a line says ok, warn (works, but worse), missing (something will not work) or not
checked. The exit code is 1 only when something is missing.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.text import Text

from shared.console import Finding, print_finding, print_heading

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 12), (3, 13))
TOY_DISK_GB, COMFORT_DISK_GB = 2, 20
SLURM_PROGRAMS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")


def locked_version(package: str) -> str | None:
    """The version that `uv.lock` pins for a package."""
    found = re.search(
        rf'name = "{package}"\nversion = "([^"]+)"', (ROOT / "uv.lock").read_text(encoding="utf-8")
    )
    return found[1] if found else None


def check_python() -> Finding:
    """A supported Python, from the workspace's own environment."""
    version = platform.python_version()
    if sys.version_info[:2] not in PYTHONS:
        return Finding(
            "missing", "Python", version, "make setup PYTHON=python3.12 (3.11 to 3.13 are supported)"
        )
    if Path(sys.prefix).resolve() != (ROOT / ".venv").resolve():
        return Finding("warn", "Python", f"{version}, outside .venv", "run programs as .venv/bin/python -m …")
    return Finding("ok", "Python", f"{version} in .venv, {platform.system()} {platform.machine()}")


def check_packages() -> Finding:
    """Every installed package at its locked version."""
    pinned = re.findall(
        r'name = "([^"]+)"\nversion = "([^"]+)"', (ROOT / "uv.lock").read_text(encoding="utf-8")
    )
    locked: dict[str, set[str]] = {}
    for name, version in pinned:
        locked.setdefault(name, set()).add(version)
    installed = {dist.name.lower().replace("_", "-"): dist.version for dist in metadata.distributions()}
    strayed = [
        f"{name} {installed[name]} (locked: {', '.join(sorted(versions))})"
        for name, versions in locked.items()
        if name in installed and installed[name].split("+")[0] not in {v.split("+")[0] for v in versions}
    ]
    if strayed:
        return Finding("warn", "packages", "; ".join(strayed), "rm -rf .venv && make setup")
    return Finding("ok", "packages", f"{len(set(installed) & set(locked))} at their locked versions")


def check_torch() -> Iterator[Finding]:
    """The build of torch against the lock and the machine, and its threads."""
    import torch

    locked, found = locked_version("torch"), torch.__version__
    build = "CUDA " + torch.version.cuda if torch.version.cuda else "CPU build"
    has_driver = Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
    if locked and found.split("+")[0] != locked.split("+")[0]:
        yield Finding("warn", "torch", f"{found}, but uv.lock pins {locked}", "rm -rf .venv && make setup")
    elif has_driver and not torch.version.cuda and platform.system() == "Linux":
        yield Finding("warn", "torch", f"{found}: CPU build beside an NVIDIA driver", "make setup TORCH=gpu")
    else:
        yield Finding("ok", "torch", f"{found} ({build})")
    threads, cores = torch.get_num_threads(), len(available_cores())
    if threads > cores:
        yield Finding(
            "warn", "threads", f"{threads} threads on {cores} cores", f"export OMP_NUM_THREADS={cores}"
        )
    elif threads < cores // 2:
        yield Finding("warn", "threads", f"torch uses {threads} of {cores} cores", "unset OMP_NUM_THREADS")
    else:
        yield Finding("ok", "threads", f"torch uses {threads} of {cores} cores")


def available_cores() -> set[int]:
    """The cores that this process may run on; containers and Slurm often grant fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def check_precision() -> Iterator[Finding]:
    """Measured rate of float32 and bfloat16 matrix products on the CPU; which one training will use."""
    import torch

    from shared.device import bfloat16_is_fast, cpu_has_bfloat16, matmul_flops_per_second

    cpu = torch.device("cpu")
    single = matmul_flops_per_second(cpu, torch.float32)
    yield Finding("ok", "CPU float32", f"{single / 1e9:,.0f} GFLOP/s in a matrix product")
    if not cpu_has_bfloat16():
        yield Finding(
            "ok", "CPU bfloat16", "no instructions for it here: training on the CPU stays in float32"
        )
        return
    half = matmul_flops_per_second(cpu, torch.bfloat16)
    detail = f"{half / 1e9:,.0f} GFLOP/s, {half / single:.1f} times float32"
    if bfloat16_is_fast("cpu"):
        yield Finding("ok", "CPU bfloat16", f"{detail}: the fast path, used by default")
    else:
        yield Finding("ok", "CPU bfloat16", f"{detail}; used where asked for: --precision bfloat16")


def check_gpu() -> Finding:
    """The GPU that torch sees, its memory and its bfloat16 rate."""
    import torch

    from shared.device import matmul_flops_per_second

    if torch.cuda.is_available():
        device = torch.device("cuda")
        name, memory_bytes = torch.cuda.get_device_name(), torch.cuda.mem_get_info()[1]
        rate = matmul_flops_per_second(device, torch.bfloat16, size=4096)
        detail = f"{torch.cuda.device_count()} × {name}, {memory_bytes / 2**30:.0f} GiB"
        return Finding("ok", "GPU", f"{detail}, {rate / 1e12:,.0f} bfloat16 TFLOP/s in a matrix product")
    if torch.backends.mps.is_available():
        return Finding("ok", "GPU", "Apple MPS")
    if Path("/dev/nvidiactl").exists():
        mend = "make setup TORCH=gpu; if done already, the driver is too old for it (nvidia-smi)"
        return Finding("warn", "GPU", "an NVIDIA device that torch cannot use", mend)
    return Finding("not checked", "GPU", "none here; everything runs on the CPU, GPU tests are left out")


def check_triton() -> Finding:
    """Whether Triton's kernels can run, on a GPU or interpreted."""
    try:
        version = metadata.version("triton")
    except metadata.PackageNotFoundError:
        if platform.system() == "Linux":
            return Finding("missing", "Triton", "not installed", "rm -rf .venv && make setup")
        return Finding(
            "not checked", "Triton", f"there is none for {platform.system()}; the portable kernels run"
        )
    import torch

    if torch.cuda.is_available():
        return Finding("ok", "Triton", version)
    return Finding(
        "ok", "Triton", f"{version}; without a GPU its kernels run interpreted (TRITON_INTERPRET=1)"
    )


def check_slurm() -> Finding:
    """The programs of a Slurm client and whether a controller answers them."""
    absent = [name for name in SLURM_PROGRAMS if shutil.which(name) is None]
    if len(absent) == len(SLURM_PROGRAMS):
        return Finding("not checked", "Slurm", "not a cluster; LAUNCH=local and torchrun work")
    if absent:
        return Finding(
            "warn", "Slurm", f"lacks {', '.join(absent)}", "install the Slurm client (slurm-client)"
        )
    try:
        answer = subprocess.run(
            ["sinfo", "--noheader"], capture_output=True, text=True, timeout=10, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("warn", "Slurm", "sinfo has not answered for 10 s", "is slurmctld up? scontrol ping")
    if answer.returncode:
        said = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        return Finding(
            "warn", "Slurm", f"no controller answers: {said}", "scontrol ping, and slurm.conf's SlurmctldHost"
        )
    return Finding("ok", "Slurm", f"{len(answer.stdout.splitlines())} partition rows in sinfo")


def check_disk() -> Finding:
    """Room for artifacts and runs where this checkout lies."""
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    detail = f"{free_gb:,.0f} GB free here"
    if free_gb < TOY_DISK_GB:
        return Finding(
            "missing", "disk", f"{detail}; make toy needs {TOY_DISK_GB} GB", 'make artifacts ARGS="gc"'
        )
    if free_gb < COMFORT_DISK_GB:
        return Finding(
            "warn", "disk", f"{detail}; larger runs want {COMFORT_DISK_GB}", 'make artifacts ARGS="gc"'
        )
    return Finding("ok", "disk", detail)


def check_memory() -> Finding:
    """Main memory; the toy run peaks below four gigabytes."""
    import psutil

    memory = psutil.virtual_memory()
    free_gb = memory.available / 1e9
    detail = f"{free_gb:,.0f} of {memory.total / 1e9:,.0f} GB free"
    return Finding(
        "ok" if free_gb > 4 else "warn", "memory", detail, "" if free_gb > 4 else "close other programs"
    )


def check_program(name: str, alternatives: tuple[str, ...], why: str, mend: str) -> Finding:
    """One program on PATH, under any of its names."""
    found = next((path for each in alternatives if (path := shutil.which(each))), None)
    if found is None:
        return Finding("warn", name, f"not found: {why}", mend)
    said = subprocess.run(
        [found, "--version"], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    return Finding("ok", name, said[0] if said else found)


def check_extras() -> Finding:
    """The optional packages, which only some tests, mirrors and formats of data need."""
    absent = []
    for extra, package in (("hf", "transformers"), ("logs", "tensorboard"), ("data", "pyarrow")):
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            absent.append(extra)
    if absent:
        mend = f'make setup EXTRAS="{" ".join(absent)}", if you want what they bring'
        return Finding("not checked", "extras", f"not installed: {', '.join(absent)}", mend)
    return Finding("ok", "extras", "hf, logs, data")


def check_test_data() -> Finding:
    """The folder of public data sets that the tests on real data read."""
    folder = os.environ.get("LM_TEST_DATA", "")
    if not folder:
        mend = "export LM_TEST_DATA=folder; without it those tests are not checked"
        return Finding("not checked", "LM_TEST_DATA", "unset", mend)
    if not Path(folder).is_dir():
        return Finding(
            "warn", "LM_TEST_DATA", f"{folder} is no folder", "export LM_TEST_DATA=folder, or unset it"
        )
    return Finding("ok", "LM_TEST_DATA", f"{sum(1 for _ in Path(folder).iterdir())} entries")


def several(check: Callable[[], Finding | Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of one check; a check that itself breaks is a finding too."""
    try:
        found = check()
        yield from [found] if isinstance(found, Finding) else found
    except (ImportError, OSError, RuntimeError) as error:
        subject = check.__name__.removeprefix("check_")
        yield Finding("missing", subject, f"{type(error).__name__}: {error}", "rm -rf .venv && make setup")


def compiler() -> Finding:
    """A C compiler, which Triton and torch.compile call."""
    mend = "apt install gcc, or on macOS: xcode-select --install"
    return check_program("C compiler", ("cc", "gcc", "clang"), "Triton and torch.compile need one", mend)


def version_control() -> Finding:
    """Git, with which manifests name the version of the code."""
    return check_program("git", ("git",), "manifests will not name the code's version", "apt install git")


SECTIONS = {
    "Software": (
        check_python,
        check_packages,
        check_torch,
        check_triton,
        check_extras,
        compiler,
        version_control,
    ),
    "Machine": (check_precision, check_gpu, check_memory, check_disk, check_slurm),
    "Data": (check_test_data,),
}


def main(argv: list[str] | None = None) -> int:
    """Print every finding; 1 when something that everything needs is missing."""
    argparse.ArgumentParser(
        prog="python -m shared.doctor", description=(__doc__ or "").splitlines()[0]
    ).parse_args(argv)
    console, started = Console(highlight=False), time.monotonic()
    states = []
    for title, checks in SECTIONS.items():
        print_heading(title, console)
        for check in checks:
            for finding in several(check):
                print_finding(finding, console)
                states.append(finding.state)
    num_missing, num_warned = states.count("missing"), states.count("warn")
    verdict = f"{num_missing} missing, {num_warned} to look at" if num_missing or num_warned else "all well"
    style = "bold red" if num_missing else "bold yellow" if num_warned else "bold green"
    console.print(Text(f"\n{verdict} ({time.monotonic() - started:.1f} s)", style=style))
    return 1 if num_missing else 0


if __name__ == "__main__":
    sys.exit(main())
