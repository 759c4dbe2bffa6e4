"""What the grader remembers about a learner: results with the sources they hold for, borrowed problems, hints.

Kept in `learner/.grades/`: one JSON file per stage. The resolver asks here which door functions are the learner's.
A file that cannot be read is kept aside under another name, and said aloud: what follows starts from an empty one.
"""

import hashlib
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = ".grades"
HANDED_IN = "handed in"
"""In the sources of a result: the digest of the numbers and the text it holds for, where there is no code."""


def _read(learner_root: Path, name: str) -> dict[str, Any]:
    path = learner_root / FOLDER / name
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:  # no JSON, or no UTF-8
        found = None
    if isinstance(found, dict) and all(isinstance(found.get(k, {}), dict) for k in ("problems", "unlocked")):
        return found
    return _set_aside(path)


def _set_aside(path: Path) -> dict[str, Any]:
    """Keep a damaged file under a free name, so that no later write replaces it."""
    number = next(n for n in itertools.count(1) if not path.with_name(f"{path.name}.damaged-{n}").exists())
    kept = path.with_name(f"{path.name}.damaged-{number}")
    try:
        os.replace(path, kept)
    except FileNotFoundError:  # another process was faster
        return {}
    print(
        f"{path} is damaged; it is kept as {kept.name}, and what it said no longer counts. "
        "Mend it and give it its name back, or grade again",
        file=sys.stderr,
    )
    return {}


def _write(learner_root: Path, name: str, value: dict[str, Any]) -> None:
    folder = learner_root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(dir=folder, prefix=f".{name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.write("\n")
    os.replace(path, folder / name)


def source_digests(learner_root: Path, stage: str) -> dict[str, str]:
    """SHA-256 of each Python file of the learner's stage, by its path from the learner's folder."""
    folder = learner_root / stage
    files = sorted(p for p in folder.rglob("*.py") if "__pycache__" not in p.parts)
    return {str(p.relative_to(learner_root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def save_results(learner_root: Path, stage: str, results: dict[str, dict[str, Any]]) -> None:
    """Merge results by problem id: {"outcome", "points", "earned", "door", "sources", "graded_at"}."""
    kept = _read(learner_root, f"{stage}.json")
    kept["problems"] = {**kept.get("problems", {}), **results}
    _write(learner_root, f"{stage}.json", kept)


def results(learner_root: Path, stage: str) -> dict[str, dict[str, Any]]:
    """The last result of each problem, by id; empty before the first grading."""
    return _read(learner_root, f"{stage}.json").get("problems", {})


def passed_problems(learner_root: Path, stage: str) -> set[str]:
    """Ids of the problems that passed, with every source file of the stage unchanged since."""
    now = source_digests(learner_root, stage)
    found = results(learner_root, stage)
    return {id for id, result in found.items() if result["outcome"] == "passed" and result["sources"] == now}


def passed_functions(learner_root: Path, stage: str) -> set[str]:
    """Door functions of problems that passed, with every source file of the stage unchanged since."""
    found = results(learner_root, stage)
    return {name for problem in passed_problems(learner_root, stage) for name in found[problem]["door"]}


def changed_functions(learner_root: Path, stage: str) -> set[str]:
    """Door functions that passed once, before a source file changed: grade again to know."""
    passed = {
        name
        for result in results(learner_root, stage).values()
        if result["outcome"] == "passed"
        for name in result["door"]
    }
    return passed - passed_functions(learner_root, stage)


def borrowed(learner_root: Path, stage: str) -> set[str]:
    """Door functions that the learner explicitly takes from the reference."""
    found = _read(learner_root, f"{stage}.borrowed.json")
    return {name for names in found.get("problems", {}).values() for name in names}


def borrowed_problems(learner_root: Path, stage: str) -> set[str]:
    """Ids of the problems that the learner borrows."""
    return set(_read(learner_root, f"{stage}.borrowed.json").get("problems", {}))


def borrowed_from(learner_root: Path, stage: str) -> str:
    """The full checkout that was named when borrowing in a student release; empty when it was not needed."""
    return str(_read(learner_root, f"{stage}.borrowed.json").get("reference", ""))


def save_borrowed(
    learner_root: Path, stage: str, problem: str, door: tuple[str, ...], reference: str = ""
) -> None:
    """Remember that a problem's functions come from the reference."""
    kept = _read(learner_root, f"{stage}.borrowed.json")
    kept["problems"] = {**kept.get("problems", {}), problem: list(door)}
    if reference:
        kept["reference"] = reference
    _write(learner_root, f"{stage}.borrowed.json", kept)


def give_back(learner_root: Path, stage: str, problem: str) -> bool:
    """End the borrowing of a problem; whether it was borrowed."""
    kept = _read(learner_root, f"{stage}.borrowed.json")
    was = kept.get("problems", {}).pop(problem, None) is not None
    if was:
        _write(learner_root, f"{stage}.borrowed.json", kept)
    return was


def hints_seen(learner_root: Path, stage: str) -> dict[str, int]:
    """How many rungs of each problem's hints are unlocked."""
    return {k: int(v) for k, v in _read(learner_root, f"{stage}.hints.json").get("unlocked", {}).items()}


def save_hints_seen(learner_root: Path, stage: str, problem: str, unlocked: int) -> None:
    """Remember how far the ladder of hints was climbed."""
    kept = _read(learner_root, f"{stage}.hints.json")
    kept["unlocked"] = {**kept.get("unlocked", {}), problem: unlocked}
    _write(learner_root, f"{stage}.hints.json", kept)
