"""What every file in `run/` ends with: arguments in, one line about what went wrong, an exit status out.

    if __name__ == "__main__":
        sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))

`main(config)` does the work. A module may also define `plan(config) -> dict`, cheap facts with a unit in
each key (`parameters`, `train_tokens`, `train_flops`, `checkpoint_bytes`, `expected_seconds`); `--dry-run`
prints them and stops.

Exit status: 0 done, 2 something the user can mend, 3 diverged, 75 pre-empted (run the same command again),
130 Ctrl-C.
"""

import errno
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from shared.errors import WorkspaceError
from shared.runs.config import Presets, parse, to_dict
from shared.runs.progress import duration
from shared.runs.step_key import step_key as step_key  # programs ask for both in one line
from shared.store.disk import is_disk_full, readable_bytes
from shared.store.pointers import check_name

C = TypeVar("C")
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_CLOSED = {errno.EROFS: "the file system is read-only", errno.EACCES: "permission denied"}
_FLOP_UNITS = ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP", "ZFLOP")


def run_program(
    main: Callable[[C], Any],
    presets: Presets[C],
    *,
    description: str = "",
    inputs: Mapping[str, str] | Iterable[str] = (),
    outputs: Mapping[str, str] | Iterable[str] = (),
    argv: Sequence[str] | None = None,
) -> int:
    """Run one program from its command line and return its exit status; never raises for what a user can
    mend.

    `inputs` and `outputs` name the artifact kinds that it reads and writes (role -> kind, or kinds alone);
    they are shown by `--help`. An error of our own keeps its traceback.
    """
    module = sys.modules[main.__module__]
    program = _command(module)
    arguments = list(sys.argv[1:] if argv is None else argv)
    is_dry = "--dry-run" in arguments
    text = (
        (description or (module.__doc__ or "").strip()) + _kinds("reads", inputs) + _kinds("writes", outputs)
    )
    try:
        config = parse(
            presets,
            [argument for argument in arguments if argument != "--dry-run"],
            program=program,
            description=text,
        )
        _check_name(config)
        if is_dry:
            print_plan(program, config, getattr(module, "plan", None))
            return 0
        status = main(config)
        return status if isinstance(status, int) else 0
    except WorkspaceError as error:
        _say(f"error: {error}" if error.exit_code in (2, 3) else str(error))
        return error.exit_code
    except KeyboardInterrupt as error:
        _say(str(error) or "stopped by Ctrl-C; nothing is broken, the same command starts again or goes on")
        return INTERRUPTED
    except SystemExit as error:  # --help, or tyro's own report of a value of the wrong type
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except Exception as error:
        mend = _mend(error)
        if mend is None:  # our own bug: its traceback is what we need
            if _is_one_of_several():  # whose tracebacks look alike
                _say(f"{type(error).__name__}: {error}")
            raise
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        _say(f"error: {where}{mend}")
        return WorkspaceError.exit_code


def print_plan(program: str, config: Any, plan: Callable[[Any], Mapping[str, Any]] | None) -> None:
    """Print the config and, when the program can tell, what it would cost; touches nothing."""
    from rich.console import Console
    from rich.table import Table

    from shared.runs.config import flatten

    console = Console()
    table = Table("setting", "value", title=f"{program}: config", title_justify="left")
    for key, value in flatten(to_dict(config)).items():
        table.add_row(key, str(value))
    console.print(table)
    if plan is None:
        console.print(
            "This program states no plan: it does little work, or the amount is not known beforehand."
        )
        return
    costs = Table("quantity", "amount", title="plan", title_justify="left")
    for key, value in plan(config).items():
        costs.add_row(key, readable(key, value))
    console.print(costs)


def readable(key: str, value: Any) -> str:
    """A number as people read it, by the unit that ends its name: "2.05 kB" for `file_bytes=2048`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if key.endswith("_seconds"):
        return f"{value:.2g} s" if value < 10 else duration(value)
    if key.endswith("_bytes"):
        return readable_bytes(round(value))
    if key.endswith("_flops"):
        power = min(int(math.log10(max(1, value)) // 3), len(_FLOP_UNITS) - 1)
        return f"{value / 1000**power:.3g} {_FLOP_UNITS[power]}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _check_name(config: Any) -> None:
    """Refuse a name that no artifact can have before the work is done, not when it is to be published."""
    name = getattr(config, "name", "")
    if isinstance(name, str) and name:
        check_name(name)


def _mend(error: Exception) -> str | None:
    """What to do about a disk that is full, closed to us or not where we look; None for every other error."""
    if is_disk_full(error):
        return (
            "no space left on the disk; free some (`make artifacts ARGS=gc` lists what no name needs, "
            "`make artifacts ARGS='gc --delete'` removes it), then run the same command again"
        )
    if isinstance(error, OSError) and error.errno in _CLOSED:
        return f"{_CLOSED[error.errno]}; point --store and --runs at a place that you can write"
    if isinstance(error, (NotADirectoryError, FileExistsError)) and error.filename:
        for path in (Path(error.filename), *Path(error.filename).parents):
            if os.path.lexists(path):  # a file, or a link to what is not there
                return (
                    None if path.is_dir() else f"{path} is no folder; point --store, --runs or --data at one"
                )
    return None


def _command(module: Any) -> str:
    spec = getattr(module, "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else f"python {sys.argv[0]}"


def _kinds(verb: str, kinds: Mapping[str, str] | Iterable[str]) -> str:
    if isinstance(kinds, Mapping):
        names = [kind if role.lower() == kind.lower() else f"{kind} ({role})" for role, kind in kinds.items()]
    else:
        names = list(kinds)
    return f"\n\n{verb} artifacts: {', '.join(names)}" if names else ""


def _say(line: str) -> None:
    rank, num_ranks = os.environ.get("RANK", "?"), os.environ.get("WORLD_SIZE", "1")
    who = f"rank {rank} of {num_ranks}: " if _is_one_of_several() else ""
    print(who + line, file=sys.stderr, flush=True)


def _is_one_of_several() -> bool:
    return os.environ.get("WORLD_SIZE", "1") not in ("0", "1")
