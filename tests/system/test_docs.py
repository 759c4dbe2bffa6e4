"""The documents are true: their code runs, their commands exist, their links and sources resolve."""

import doctest
import importlib
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from shared.doors import handout
from shared.doors.exercise import exercises
from shared.marked import with_block

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    path
    for path in sorted(
        [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("a*_*/HANDOUT.md")]
    )
    if path.exists()
]
WITH_DOCTESTS = [
    path
    for path in sorted([*ROOT.glob("a*_*/**/*.py"), *ROOT.glob("shared/**/*.py")])
    if re.search(r"^ +>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
]
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
INLINE_COMMAND = re.compile(r"`((?:make|python -m) [^`]+)`")
SOURCE_KEY = re.compile(r"\[([a-z][a-z0-9-]*(?:-\d{4})?)\]")
PLAIN_PROGRAMS = {"cd", "export", "git"}  # said in a document, and nothing of ours to check


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(language: str) -> list[tuple[str, str]]:
    """(document and number, text) of every fenced block in a language."""
    found = []
    for path in DOCUMENTS:
        texts = [text for kind, text in FENCE.findall(path.read_text(encoding="utf-8")) if kind == language]
        found += [(f"{named(path)}#{number}", text) for number, text in enumerate(texts, 1)]
    return found


def commands() -> list[tuple[str, str]]:
    """(document, command) of every line in a bash block and every `make …` or `python -m …` in the text."""
    found = []
    for where, text in blocks("bash"):
        found += [(where, line.strip()) for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    for path in DOCUMENTS:
        text = FENCE.sub("", path.read_text(encoding="utf-8"))
        found += [(named(path), " ".join(command.split())) for command in INLINE_COMMAND.findall(text)]
    return list(dict.fromkeys((where, line) for where, line in found if not line.startswith("#")))


@cache
def help_of(module: str) -> str:
    """What a program prints when it is asked for help; an empty text when it fails."""
    result = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return result.stdout if result.returncode == 0 else ""


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as a reader would: not as a child of the `make test` that may be running this."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("where", "command"), commands(), ids=lambda value: str(value)[:60])
def test_command_exists(where: str, command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        result = make("--dry-run", *words[1:])
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip()
    elif words[:2] == ["python", "-m"]:
        text = help_of(words[2])
        launched = [
            word for word in words[3:] if ".run." in word
        ]  # a launcher's program brings its own flags
        text += "".join(help_of(program) for program in launched)
        assert "usage" in text.lower(), f"{where}: `{command}` has no --help"
        flags = {word.split("=")[0] for word in words[3:] if word.startswith("--")} - {
            "--preset",
            "--dry-run",
        }
        assert all(flag in text for flag in flags), f"{where}: `{command}` names a flag that its --help lacks"
    else:
        assert words[0] in PLAIN_PROGRAMS, f"{where}: nobody checks `{command}`"


@pytest.mark.parametrize(("where", "code"), blocks("python"), ids=lambda value: str(value)[:40])
def test_python_block_runs(where: str, code: str, tmp_path: Path) -> None:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{where}\n{result.stderr}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    targets = [target.split("#")[0] for target in LINK.findall(text) if "://" not in target]
    assert [target for target in targets if target and not (path.parent / target).exists()] == []


def test_every_target_of_the_makefile_is_listed_with_its_purpose() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", text, re.MULTILINE)) - {"help", "ready"}
    listed = make().stdout
    shown = dict(re.findall(r"^  make (\S+) +(\S.*)$", listed, re.MULTILINE))
    assert set(shown) == targets
    phony = set(re.findall(r"\.PHONY:((?:\\\n|[^\n])*)", text)[0].replace("\\", " ").split())
    assert phony == targets | {"help", "ready"}


def test_sources_named_in_docstrings_are_in_the_list() -> None:
    known = set(SOURCE_KEY.findall((ROOT / "docs" / "references.md").read_text(encoding="utf-8")))
    sources = [*ROOT.glob("a*_*/**/*.py"), *ROOT.glob("shared/**/*.py")]
    named_keys = {
        (named(path), key)
        for path in sources
        for key in re.findall(r"\[([a-z][a-z0-9]*-(?:19|20)\d{2})\]", path.read_text(encoding="utf-8"))
    }
    assert named_keys, "no docstring names a source: does the pattern still fit?"
    assert sorted(pair for pair in named_keys if pair[1] not in known) == []


@pytest.mark.parametrize("path", WITH_DOCTESTS, ids=named)
def test_examples_in_docstrings_hold(path: Path) -> None:
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("path", sorted(ROOT.glob("a*_*/HANDOUT.md")), ids=named)
def test_handout_lists_the_problems_of_exercises(path: Path) -> None:
    text, listed = path.read_text(encoding="utf-8"), exercises(path.parent.name)
    mend = f"write the table again: python -m shared.doors.handout --stage {path.parent.name}"
    assert text == with_block(text, handout.BEGIN, handout.END, handout.table(listed), document=path), mend
    headings = re.findall(r"^## ([a-z0-9_]+)$", text, re.MULTILINE)
    wanted = [exercise.id for exercise in listed]
    assert [name for name in headings if name in wanted] == wanted, (
        "a section for each problem, in their order"
    )
