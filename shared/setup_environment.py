"""Make `.venv` hold exactly what `uv.lock` says: what `make setup` runs, before any package is there.

It does nothing when a stamp says that the lock, the project file, the Python and the kind of torch are the
ones installed last. The stamp goes away first and comes back last, and a marker tells the next run that this
one was cut short, so that an interrupted set-up is rebuilt by running it again.

Which torch: on Linux without an NVIDIA GPU the CPU build, at the locked version: from the places that pip is
told to look in (`find-links`) when one holds it, else by uv's `--torch-backend=cpu`. Everywhere else, the
locked build. `TORCH=cpu|gpu` overrides the guess: a login node without a GPU sets up for nodes that have one.
Windows: use WSL2.

Only the standard library, and syntax that Python 3.9 reads, so that an old `python3` gets a clear answer.
"""

import ast
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
KERNELS = ROOT / "a1_basics" / "tokenizers" / "bpe_fast.py"
STAMP = VENV / "setup-stamp.json"
RUNNING = ROOT / "build" / "setup-running"
OLDEST, NEWEST = [3, 11], [3, 13]
OLDEST_UV = (0, 13)  # the first that was tried with this lock
EXTRAS = ("hf", "logs", "data")


class SetupError(Exception):
    """What keeps the environment from being made, with the mend in the message."""


def run(command, **environment):
    """Run a command at the project's root and return what it printed; its errors go to the terminal."""
    command, environment = [str(part) for part in command], {**os.environ, **environment}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, check=False
    )
    if result.returncode:
        raise SetupError(f"this failed (exit {result.returncode}): {' '.join(command)}")
    return result.stdout


def attempt(command, **environment):
    """Run a command that may well fail: what it printed, or None."""
    command, environment = [str(part) for part in command], {**os.environ, **environment}
    try:
        result = subprocess.run(
            command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False
        )
    except OSError:
        return None
    return None if result.returncode else result.stdout


def version_of(python):
    """[major, minor] of an interpreter, or an empty list when it does not run."""
    printed = attempt([python, "-c", "import sys; print(*sys.version_info[:2])"])
    return [int(part) for part in printed.split()] if printed else []


def find_python():
    """The interpreter to build `.venv` with: PYTHON when set, else the first on PATH that fits."""
    asked = os.environ.get("PYTHON", "")
    names = [asked] if asked else ["python3", "python3.13", "python3.12", "python3.11", "python"]
    for name in names:
        version = version_of(name)
        if OLDEST <= version <= NEWEST:
            return name
    found = (
        ", ".join(f"{name} is {'.'.join(map(str, v))}" for name in names if (v := version_of(name))) or "none"
    )
    raise SetupError(
        f"Python 3.11, 3.12 or 3.13 is needed; found: {found or 'none'}.\n"
        "  Install one (Debian/Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.12; "
        "anywhere: uv python install 3.12),\n  then: make setup PYTHON=/path/to/python3.12"
    )


def torch_kind():
    """`cpu` on Linux without an NVIDIA GPU, else `locked`: the lock's own wheel (macOS: CPU and MPS)."""
    asked = os.environ.get("TORCH", "")
    if asked not in ("", "auto", "cpu", "gpu"):
        raise SetupError(f"TORCH={asked} is none of auto, cpu, gpu")
    if platform.system() != "Linux" or asked == "gpu":
        return "locked"
    windows_driver = Path("/dev/dxg").exists() and Path("/usr/lib/wsl/lib/nvidia-smi").exists()
    has_gpu = Path("/dev/nvidiactl").exists() or windows_driver
    return "cpu" if asked == "cpu" or not has_gpu else "locked"


def stamp_key(python_version, torch, extras):
    """Changes when anything that decides the environment's content does."""
    digest = hashlib.sha256()
    for part in ("uv.lock", "pyproject.toml", "shared/setup_environment.py"):
        digest.update((ROOT / part).read_bytes())
    digest.update(json.dumps([python_version, torch, extras]).encode())
    return digest.hexdigest()


def read_stamp():
    """The last finished set-up, or an empty dict."""
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def ensure_venv(was_cut_short):
    """A `.venv` whose interpreter and pip work, built anew when broken, cut short or of another Python."""
    version = version_of(PYTHON)
    asked = version_of(os.environ["PYTHON"]) if os.environ.get("PYTHON") else version
    healthy = OLDEST <= version <= NEWEST and version == asked and not was_cut_short
    if healthy and attempt([PYTHON, "-m", "pip", "--version"]):
        return version
    python = find_python()
    print(f"making .venv with {python} ({platform.system()})", flush=True)
    if attempt([python, "-m", "venv", "--clear", VENV]) is None:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetupError(
            f"{python} -m venv failed: its venv or ensurepip module is missing.\n"
            "  Debian/Ubuntu: apt install python3-venv, then: make setup"
        )
    return version_of(PYTHON)


def find_uv():
    """A uv that is new enough: the one in `.venv`, else one on PATH, else pip puts it into `.venv`."""
    inside = VENV / "bin" / "uv"
    for candidate in (inside, shutil.which("uv")):
        if candidate and Path(candidate).exists():
            printed = attempt([candidate, "--version"]) or ""
            match = re.match(r"uv (\d+)\.(\d+)", printed)
            if match and (int(match[1]), int(match[2])) >= OLDEST_UV:
                return candidate
    print("putting uv into .venv", flush=True)
    oldest = ".".join(map(str, OLDEST_UV))
    run([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"uv>={oldest}"])
    return inside


def pip_find_links():
    """The extra places, if any, where pip is told to look for wheels (environment, configuration files)."""
    places = []
    for line in (attempt([PYTHON, "-m", "pip", "config", "list"]) or "").splitlines():
        name, _, value = line.partition("=")
        if name.endswith(".find-links"):
            try:
                places += str(ast.literal_eval(value)).split()
            except (ValueError, SyntaxError):
                continue
    return list(dict.fromkeys(places))


def locked_torch_version():
    """The torch version that `uv.lock` pins."""
    match = re.search(r'name = "torch"\nversion = "([^"]+)"', (ROOT / "uv.lock").read_text(encoding="utf-8"))
    if not match:
        raise SetupError("uv.lock pins no torch; restore it: git checkout uv.lock")
    return match[1].split("+")[0]


def install_cpu(uv, extras):
    """The locked set without torch, then torch's CPU build and what it needs, at the locked versions."""
    export = [uv, "export", "--quiet", "--frozen", "--no-emit-project", "--python", PYTHON]
    for extra in extras:
        export += ["--extra", extra]
    pruned, every = VENV / "locked-without-torch.txt", VENV / "locked-versions.txt"
    run([*export, "--prune", "torch", "--output-file", pruned])
    run([*export, "--no-hashes", "--no-emit-package", "torch", "--output-file", every])
    install = [uv, "pip", "install", "--python", PYTHON]
    run([*install, "--requirements", pruned])
    torch = f"torch=={locked_torch_version()}"
    for place in pip_find_links():
        from_place = [*install, "--no-index", "--no-deps", torch]
        if attempt([*from_place, "--dry-run"], UV_FIND_LINKS=place) is not None:
            print(f"{torch} from pip's find-links", flush=True)
            run(from_place, UV_FIND_LINKS=place)
            run([*install, torch, "--constraints", every])
            return
    print(f"{torch}, CPU build", flush=True)
    try:
        run([*install, "--torch-backend=cpu", torch, "--constraints", every])
    except SetupError as error:
        raise SetupError(
            f"{error}\n  The CPU build of torch could not be had. Either name a folder that holds its wheel\n"
            "  (PIP_FIND_LINKS=folder make setup), or take the larger locked build: make setup TORCH=gpu"
        ) from None


def install_locked(uv, extras):
    """The lock as it is. `--inexact` keeps pip and uv, which are not in the lock."""
    command = [uv, "sync", "--frozen", "--inexact", "--python", PYTHON]
    for extra in extras:
        command += ["--extra", extra]
    run(command, UV_PROJECT_ENVIRONMENT=str(VENV))


def wanted_extras(stamp):
    """The extras asked for now (EXTRAS="hf logs"), and those installed before, which stay."""
    asked = os.environ.get("EXTRAS", "").replace(",", " ").split()
    unknown = sorted(set(asked) - set(EXTRAS))
    if unknown:
        raise SetupError(f"EXTRAS={' '.join(unknown)}: unknown; there are: {', '.join(EXTRAS)}")
    return sorted({*asked, *stamp.get("extras", ())})


def set_up():
    """Bring `.venv` to what the lock says; returns False when there was nothing to do."""
    started, stamp, torch = time.monotonic(), read_stamp(), torch_kind()
    extras = wanted_extras(stamp)
    asked = os.environ.get("PYTHON", "")
    same_python = PYTHON.exists() and (not asked or version_of(asked) == stamp.get("python"))
    if same_python and stamp.get("key") == stamp_key(stamp.get("python"), torch, extras):
        return False
    was_cut_short = RUNNING.exists()
    RUNNING.touch()
    STAMP.unlink(missing_ok=True)
    version = ensure_venv(was_cut_short)
    uv = find_uv()
    (install_cpu if torch == "cpu" else install_locked)(uv, extras)
    print("checking that it starts", flush=True)
    probe = "import torch, numpy, numba, safetensors, regex; torch.ones(2, 2).mm; print(torch.__version__)"
    torch_version = run([PYTHON, "-c", probe]).strip()
    if KERNELS.exists():  # not in a student tree
        print("compiling the tokenizer's kernels, about half a minute", flush=True)
        attempt([PYTHON, "-c", "from a1_basics.tokenizers.bpe_fast import warm; warm()"])
    key = stamp_key(version, torch, extras)
    fresh = VENV / "setup-stamp.new"
    fresh.write_text(
        json.dumps({"key": key, "python": version, "torch": torch, "extras": extras}), encoding="utf-8"
    )
    os.replace(fresh, STAMP)
    RUNNING.unlink()
    seconds = time.monotonic() - started
    print(f"set up in {seconds:.0f} s: Python {version[0]}.{version[1]}, torch {torch_version}", flush=True)
    return True


def main():
    """Hold a lock, so that two set-ups in one checkout wait for each other, then set up."""
    if platform.system() == "Windows":
        print(
            "error: Windows is supported through WSL2: wsl --install, then make setup in its terminal",
            file=sys.stderr,
        )
        return 2
    import fcntl

    try:
        (ROOT / "build").mkdir(exist_ok=True)
        with open(ROOT / "build" / "setup.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            changed = set_up()
        if not changed and "--quiet" not in sys.argv:
            print("nothing to do: .venv is what uv.lock says")
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nset-up interrupted; run make setup again: it starts over cleanly", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
