"""Lines of a report on the terminal: a state, a subject, what was found and, when it is wrong, the mend."""

from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

State = Literal["ok", "warn", "missing", "failed", "not checked"]
STYLES: dict[State, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "warn": ("!", "yellow"),
    "missing": ("✗", "red"),
    "failed": ("✗", "red"),
    "not checked": ("–", "dim"),
}
STATE_WIDTH, SUBJECT_WIDTH = 16, 18


@dataclass(frozen=True)
class Finding:
    """One line of a report: what was looked at, how it is, and what to do about it."""

    state: State
    subject: str
    detail: str = ""
    mend: str = ""


def print_finding(finding: Finding, console: Console) -> None:
    """Print a finding in aligned columns; a detail of several lines goes below, as it is."""
    mark, style = STYLES[finding.state]
    head = Text(f" {mark} {finding.state}".ljust(STATE_WIDTH), style=style)
    head.append(
        finding.subject.ljust(SUBJECT_WIDTH), style="dim" if finding.state == "not checked" else "bold"
    )
    indent = STATE_WIDTH + SUBJECT_WIDTH
    if "\n" in finding.detail:
        console.print(head)
        console.print(Text.assemble("\n", finding.detail, "\n"), soft_wrap=True)
    else:
        first, *rest = Text(finding.detail).wrap(console, max(console.width - indent, 30)) or [Text("")]
        console.print(head + first, soft_wrap=True)
        for row in rest:
            console.print(Text(" " * indent) + row, soft_wrap=True)
    if finding.mend:
        console.print(Padding(Text(f"→ {finding.mend}", style="cyan"), (0, 0, 0, indent)))


def print_heading(title: str, console: Console) -> None:
    """Print a section heading with a blank line before it."""
    console.print(Text(f"\n{title}", style="bold underline"))
