"""What a learner hands in besides code: numbers in `answers.toml`, texts in `WRITEUP.md`. Templates, and their reading.

Both are plain data: nothing in them is run. A rerun of the templates adds what is missing and changes nothing else.
"""

import hashlib
import re
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.doors.exercise import Exercise
from shared.store.disk import replace_text

ANSWERS, WRITEUP = "answers.toml", "WRITEUP.md"
MAX_BYTES = 1 << 20
ANSWERS_HEAD = """# Your numbers for {stage}. What is asked stands here in short and in {stage}/HANDOUT.md in full.
# Put a plain number in place of "": 2500000, 2_500_000 and 2.5e6 are the same. No unit, no expression, no quotes.
# Bytes and names keep their quotes: "e2 82 ac", "toy". Then: make grade STAGE={stage}
"""
WRITEUP_HEAD = """# {stage}: what I found

Write below each heading; the remarks above your answer are only there to remind you, and are not read. Keep the
headings: they tell the grader where an answer begins. Figures may lie beside this file:
`![loss](figures/loss.png)`.
"""
_REMARK = re.compile(r"<!--.*?-->", re.DOTALL)


def write_answers(path: Path, stage: str, listed: Iterable[Exercise]) -> list[str]:
    """Write the template, or add the questions that it lacks; the questions added, as `problem.question`."""
    text = path.read_text(encoding="utf-8") if path.exists() else ANSWERS_HEAD.format(stage=stage)
    added = []
    for exercise in listed:
        rows = text.splitlines(keepends=True)
        heading = f"[{exercise.id}]"
        start = next((i for i, row in enumerate(rows) if row.split("#")[0].strip() == heading), None)
        end = len(rows)
        if start is not None:
            end = next((i for i in range(start + 1, len(rows)) if rows[i].lstrip().startswith("[")), end)
        table = "".join(rows[start:end]) if start is not None else ""
        missing = [q for q in exercise.questions if not re.search(rf"(?m)^\s*{q.id}\s*=", table)]
        if not missing:
            continue
        new = "".join(
            textwrap.fill(f"{q.asks} [{q.accepts}]", 110, initial_indent="# ", subsequent_indent="# ")
            + f'\n{q.id} = ""\n'
            for q in missing
        )
        if start is None:
            text = f"{text.rstrip(chr(10))}\n\n{heading}  # {exercise.title}, {_points(exercise)}\n{new}"
        else:
            text = "".join([*rows[: start + 1], new, *rows[start + 1 :]])
        added += [f"{exercise.id}.{q.id}" for q in missing]
    if added:
        replace_text(path, text)
    return added


def write_writeup(path: Path, stage: str, listed: Iterable[Exercise]) -> list[str]:
    """Write the template, or add the sections that it lacks; the ids of the problems added."""
    text = path.read_text(encoding="utf-8") if path.exists() else WRITEUP_HEAD.format(stage=stage)
    present = set(_sections(text, [e.id for e in listed]))
    wanted = [e for e in listed if e.kind == "written" and e.id not in present]
    for exercise in wanted:
        facts = [("asked", exercise.deliverable), ("cost", exercise.budget), ("on a CPU", exercise.small)]
        lines = [
            f"{exercise.title}, {_points(exercise)}.",
            *(f"{name}: {text}" for name, text in facts if text),
        ]
        lines += [f"full points: {sentence}" for sentence in exercise.rubric]
        remark = "\n".join(textwrap.fill(line, 110, subsequent_indent="  ") for line in lines)
        text = f"{text.rstrip(chr(10))}\n\n## {exercise.id}\n\n<!--\n{remark}\n-->\n\n"
    if wanted:
        replace_text(path, text)
    return [exercise.id for exercise in wanted]


@dataclass(frozen=True)
class Answers:
    """The tables of an answers file, or why it cannot be read."""

    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_there: bool = False
    trouble: str = ""  # what is wrong with the file as a whole

    def given(self, problem: str) -> dict[str, Any]:
        """The answers to a problem's questions; those still empty, as in the template, are left out."""
        return {name: value for name, value in self.tables.get(problem, {}).items() if value != ""}


def read_answers(path: Path | None, listed: Iterable[Exercise]) -> Answers:
    """Read an answers file; `trouble` says what is wrong with it, and every name it has must be a question's."""
    if path is None:
        return Answers()
    try:
        tables = tomllib.loads(_read(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # TOML and UTF-8 errors are ValueErrors
        said = "is nested too deeply" if isinstance(error, RecursionError) else f"cannot be read: {error}"
        return Answers(trouble=f"{ANSWERS} {said}")
    known = {e.id: [q.id for q in e.questions] for e in listed if e.questions}
    for problem, table in tables.items():
        if problem not in known or not isinstance(table, dict):
            asked = ", ".join(f"[{name}]" for name in known)
            return Answers(trouble=f"{ANSWERS} has {problem!r}, no problem with numbers; it takes {asked}")
        for name in table:
            if name not in known[problem]:
                asked = ", ".join(known[problem])
                trouble = f"{ANSWERS} has {name!r} in [{problem}], which asks for: {asked}"
                return Answers(trouble=trouble)
    return Answers(tables, is_there=True)


def read_writeup(path: Path | None, listed: Iterable[Exercise]) -> dict[str, str] | None:
    """Problem id -> what was written below its heading, remarks taken out; None when there is no readable file."""
    if path is None:
        return None
    try:
        text = _read(path).decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return None
    return {
        name: _REMARK.sub("", part).strip() for name, part in _sections(text, [e.id for e in listed]).items()
    }


def handed_in(problem: str, answers: Answers, texts: Mapping[str, str] | None) -> str:
    """SHA-256 of the numbers and the text given for a problem; empty when there are neither."""
    numbers, text = answers.given(problem), (texts or {}).get(problem, "")
    return (
        hashlib.sha256(repr((sorted(numbers.items()), text)).encode()).hexdigest() if numbers or text else ""
    )


def _points(exercise: Exercise) -> str:
    return f"{exercise.points:g} point{'' if exercise.points == 1 else 's'}"


def _read(path: Path) -> bytes:
    if not path.is_file():  # a device or a pipe would never end
        raise ValueError("it is no plain file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has {path.stat().st_size} bytes; {MAX_BYTES} are read at most")
    return path.read_bytes()


def _sections(text: str, ids: Iterable[str]) -> dict[str, str]:
    """Text below each heading that is a problem's id. Other headings belong to the answer they stand in."""
    found: dict[str, list[str]] = {}
    known, current = set(ids), ""
    for line in text.splitlines():
        heading = re.fullmatch(r"## `?([a-z0-9_]+)`?\s*", line)
        if heading and heading[1] in known:
            current = heading[1]
            found.setdefault(current, [])
        elif current:
            found[current].append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}
