"""Verdicts as files for other programs: JSON, JUnit XML and Gradescope's results.json."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from tests.harness.outcomes import Lesson, Outcome, ProblemGrade, StageGrade
from tests.harness.terminal import lesson_parts, number


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: readers never see half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def write_json(path: Path, grade: StageGrade) -> None:
    """Everything that the verdict holds."""
    write_text(path, json.dumps(grade.as_dict(), indent=1) + "\n")


def as_text(lesson: Lesson) -> str:
    """A lesson as plain paragraphs."""
    return "\n".join(f"{heading}: {text}" for heading, text in lesson_parts(lesson))


def first_line(text: str) -> str:
    """The first line of a text."""
    return text.partition("\n")[0]


def _xml_safe(text: str) -> str:
    return "".join(
        c if c in "\t\n" or (ord(c) >= 32 and ord(c) not in range(0xD800, 0xE000)) else "�" for c in text
    )


def write_junit(path: Path, grade: StageGrade) -> None:
    """A test suite per problem, a case per graded test, and one case for the verdict itself.

    The verdict is a case of its own so that a reader which only counts cases never sees an empty green suite.
    """
    top = ElementTree.Element("testsuites", name=grade.stage, time=f"{grade.seconds:.3f}")
    for problem in grade.problems:
        suite = ElementTree.SubElement(top, "testsuite", name=f"{grade.stage}.{problem.id}")
        counts = {"tests": 1, "failures": 0, "errors": 0, "skipped": 0}
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"{grade.stage}.{problem.id}", name="verdict"
        )
        kind = {
            Outcome.PASSED: "",
            Outcome.FAILED: "failure",
            Outcome.FORBIDDEN: "failure",
            Outcome.ERROR: "error",
        }.get(problem.outcome, "skipped")
        if kind:
            counts[{"failure": "failures", "error": "errors"}.get(kind, kind)] += 1
            message = f"{problem.outcome}: {problem.message}"
            ElementTree.SubElement(case, kind, message=_xml_safe(message)).text = _xml_safe(problem.message)
        for test in problem.tests:
            counts["tests"] += 1
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=f"{grade.stage}.{problem.id}",
                name=test.id.rpartition("::")[2],
                time=f"{test.seconds:.3f}",
            )
            text = _xml_safe(as_text(test.lesson)) if test.lesson else ""
            kind = {"failed": "failure", "missing": "error", "not checked": "skipped"}.get(test.outcome, "")
            if kind:
                counts[{"failure": "failures", "error": "errors"}.get(kind, kind)] += 1
                first = text.partition("\n")[0] or test.outcome
                ElementTree.SubElement(case, kind, message=first).text = text
        for name, count in counts.items():
            suite.set(name, str(count))
        suite.set("time", f"{problem.seconds:.3f}")
    ElementTree.indent(top)
    write_text(path, ElementTree.tostring(top, encoding="unicode", xml_declaration=True) + "\n")


def gradescope(grade: StageGrade) -> dict[str, Any]:
    """The verdict in the form Gradescope reads: points are earned whole or not at all, as everywhere here."""
    return {
        "score": grade.earned,
        "execution_time": round(grade.seconds),
        "output": f"{number(grade.earned)} of {number(grade.points)} points in {grade.stage}",
        "output_format": "text",
        "test_output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_gradescope_test(i, problem) for i, problem in enumerate(grade.problems, 1)],
        "extra_data": {
            "stage": grade.stage,
            "outcomes": {problem.id: str(problem.outcome) for problem in grade.problems},
            "review": sorted({line for problem in grade.problems for line in problem.review}),
        },
    }


def _gradescope_test(position: int, problem: ProblemGrade) -> dict[str, Any]:
    lines = [f"{problem.outcome}: {problem.message}"]
    if problem.failure:
        lines += ["", as_text(problem.failure)]
    if problem.rubric:
        lines += ["", "full points need:", *(f"- {sentence}" for sentence in problem.rubric)]
        lines += ["", problem.text] if problem.text else []
    return {
        "name": f"{problem.id}: {problem.title}",
        "number": str(position),
        "score": problem.earned,
        "max_score": problem.points,
        "status": "passed" if problem.outcome is Outcome.PASSED else "failed",
        "output": "\n".join(lines),
        "output_format": "text",
        "tags": [str(problem.outcome)],
        "visibility": "visible",
    }


def broken_gradescope(message: str) -> dict[str, Any]:
    """What Gradescope gets when there is no verdict: an error that nobody can take for a zero or a pass."""
    return {
        "score": 0,
        "output": f"error: the grader came to no verdict: {message}\nTell your teacher; this is not a grade.",
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": [
            {"name": "grader", "score": 0, "max_score": 0, "status": "failed", "output": f"error: {message}"}
        ],
        "extra_data": {"error": message},
    }
