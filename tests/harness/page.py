"""A verdict as one static HTML page: no script, no network, readable on paper and in the dark."""

import re
from html import escape
from pathlib import Path

from tests.harness.files import write_text
from tests.harness.outcomes import BAD, Outcome, ProblemGrade, StageGrade, TestGrade
from tests.harness.terminal import STYLE, hint_line, lesson_parts, number

CSS = """
:root{--paper:#fbfaf7;--ink:#1f2328;--soft:#69707a;--line:#e3dfd6;--card:#fff;--passed:#1a7f4b;--failed:#c0392b;
--not-started:#8a8f98;--borrowed:#a86a00;--forbidden:#8e3fa8;--not-checked:#1b7a8c;--error:#a31515;--code:#f4f1ea}
@media (prefers-color-scheme:dark){:root{--paper:#16181b;--ink:#e8e6e1;--soft:#9aa0a8;--line:#2d3136;--card:#1d2024;
--passed:#4cc38a;--failed:#ff7b6b;--not-started:#7d838c;--borrowed:#e0a63c;--forbidden:#c98be0;--not-checked:#5cc2d4;
--error:#ff6b6b;--code:#25292e}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 ui-sans-serif,system-ui,-apple-system,
"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main{max-width:52rem;margin:0 auto;padding:3.5rem 1.5rem 5rem}
header{display:flex;justify-content:space-between;align-items:flex-end;gap:2rem;flex-wrap:wrap}
h1{font-size:1.9rem;line-height:1.15;margin:0 0 .3rem;letter-spacing:-.02em}
.sub{color:var(--soft);margin:0}
.score{font-size:2.6rem;font-weight:650;letter-spacing:-.03em;line-height:1;font-variant-numeric:tabular-nums}
.score small{font-size:1.05rem;font-weight:400;color:var(--soft);letter-spacing:0}
.bar{display:flex;gap:3px;height:10px;margin:1.6rem 0 .8rem}
.bar span{border-radius:3px;background:var(--tone);min-width:6px}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.3rem;color:var(--soft);font-size:.88rem;margin:0 0 2.2rem;padding:0;
list-style:none}
.legend i{display:inline-block;width:.65rem;height:.65rem;border-radius:2px;background:var(--tone);margin-right:.45rem}
article{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--tone);border-radius:8px;
margin:.7rem 0;padding:1rem 1.3rem;break-inside:avoid}
.head{display:flex;gap:1rem;align-items:baseline}
.head h2{font-size:1.06rem;margin:0;flex:1;font-weight:620}
.head code{font-size:.82rem;color:var(--soft);background:none;padding:0;margin-left:.5rem;font-weight:400}
.badge{color:var(--tone);font-weight:600;font-size:.9rem;white-space:nowrap}
.points{color:var(--soft);font-variant-numeric:tabular-nums;white-space:nowrap;min-width:3.2rem;text-align:right}
.message{color:var(--soft);margin:.25rem 0 0;font-size:.94rem}
dl{display:grid;grid-template-columns:8.2rem 1fr;gap:.55rem 1rem;margin:1rem 0 .4rem;padding-top:1rem;
border-top:1px solid var(--line)}
dt{color:var(--soft);font-size:.86rem;padding-top:.12rem}
dd{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
dd.mono,pre,code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.88rem}
dd.mono{background:var(--code);border-radius:6px;padding:.55rem .75rem}
details{margin-top:.6rem;font-size:.92rem}
summary{cursor:pointer;color:var(--soft)}
details ul{list-style:none;margin:.5rem 0 0;padding:0}
details li{display:flex;gap:.7rem;padding:.15rem 0;border-bottom:1px solid var(--line)}
details li b{color:var(--tone);font-weight:600;width:6rem;flex:none}
details li span{flex:1;overflow-wrap:anywhere}
details li em{color:var(--soft);font-style:normal;font-variant-numeric:tabular-nums}
.reading{display:grid;grid-template-columns:2fr 3fr;gap:1.4rem;margin:1rem 0 .4rem;padding-top:1rem;
border-top:1px solid var(--line)}
.reading h3{font-size:.86rem;font-weight:400;color:var(--soft);margin:0 0 .35rem}
.reading ul{margin:0;padding-left:1.1rem;font-size:.92rem}
.reading li{margin-bottom:.35rem}
.text{white-space:pre-wrap;overflow-wrap:anywhere}
.text.none{color:var(--soft)}
.hint{color:var(--borrowed);font-size:.9rem;margin:.7rem 0 0}
footer{color:var(--soft);font-size:.85rem;margin-top:2.5rem;border-top:1px solid var(--line);padding-top:1rem}
@media (max-width:34rem){.reading{grid-template-columns:1fr}}
@media (max-width:34rem){dl{grid-template-columns:1fr;gap:.15rem}dd{margin-bottom:.6rem}.head{flex-wrap:wrap}}
@media print{body{background:#fff}main{padding:0}}
"""


def _tone(outcome: str) -> str:
    return f"--tone:var(--{outcome.replace(' ', '-')})"


def write_page(path: Path, grade: StageGrade) -> None:
    """Write the page."""
    write_text(path, page(grade))


def page(grade: StageGrade) -> str:
    """The whole page as text."""
    name = {"learner": "your solutions", "reference": "the reference"}.get(grade.impl, grade.impl)
    counts = {outcome: sum(p.outcome is outcome for p in grade.problems) for outcome in STYLE}
    bar = "".join(
        f'<span style="{_tone(p.outcome)};flex:{max(p.points, 0.5):g}" title="{escape(p.id)}: {p.outcome}"></span>'
        for p in grade.problems
    )
    legend = "".join(
        f'<li><i style="{_tone(o)}"></i>{count} {o}</li>' for o, count in counts.items() if count
    )
    problems = "\n".join(_problem(problem, grade) for problem in grade.problems)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(grade.stage)}: {number(grade.earned)} of {number(grade.points)} points</title>
<style>{CSS}</style>
</head>
<body>
<main>
<header>
<div><h1>{escape(grade.stage)}</h1><p class="sub">{escape(name)}</p></div>
<div class="score">{number(grade.earned)}<small> of {number(grade.points)} points</small></div>
</header>
<div class="bar" role="img" aria-label="outcomes of the problems, as wide as their points">{bar}</div>
<ul class="legend">{legend}</ul>
{problems}
<footer>Graded {escape(grade.graded_at)} in {grade.seconds:.1f} s. A problem earns its points when every one of its
checks holds; the verdict is formed outside the process that ran the code.</footer>
</main>
</body>
</html>
"""


def _problem(problem: ProblemGrade, grade: StageGrade) -> str:
    parts = [
        f'<article style="{_tone(problem.outcome)}" id="{escape(problem.id)}">',
        f'<div class="head"><h2>{escape(problem.title)}<code>{escape(problem.id)}</code></h2>'
        f'<span class="badge">{STYLE[problem.outcome][1]} {problem.outcome}</span>'
        f'<span class="points">{number(problem.earned)} / {number(problem.points)}</span></div>',
    ]
    if problem.message:
        parts.append(f'<p class="message">{escape(problem.message)}</p>')
    if problem.rubric and (problem.text or problem.outcome is Outcome.NOT_CHECKED):
        parts.append(_reading(problem))
    if problem.failure is not None:
        rows = lesson_parts(problem.failure)
        if not problem.failure.why and problem.why:
            rows.append(("why it matters", problem.why))
        cells = "".join(
            f"<dt>{heading}</dt>"
            f"<dd{' class=mono' if heading in ('counter-example', 'in your code') else ''}>{escape(text)}</dd>"
            for heading, text in rows
        )
        parts.append(f"<dl>{cells}</dl>")
    if problem.outcome in BAD and grade.impl == "learner" and hint_line(problem, grade.stage):
        parts.append(f'<p class="hint">{escape(hint_line(problem, grade.stage))}</p>')
    if problem.tests:
        passed = sum(test.outcome == "passed" for test in problem.tests)
        rows_html = "".join(_test(test) for test in problem.tests)
        heading = f"{passed} of {len(problem.tests)} checks hold"
        parts.append(f"<details><summary>{heading}</summary><ul>{rows_html}</ul></details>")
    return "\n".join([*parts, "</article>"])


def _reading(problem: ProblemGrade) -> str:
    """What full points need, beside what was written."""
    sentences = "".join(f"<li>{_with_code(sentence)}</li>" for sentence in problem.rubric)
    text = f'<div class="text">{escape(problem.text)}</div>' if problem.text else ""
    text = text or '<div class="text none">nothing was written in WRITEUP.md</div>'
    asked = f"full points for {number(problem.points)}: {problem.deliverable}"
    return (
        f'<div class="reading"><div><h3>{_with_code(asked)}</h3><ul>{sentences}</ul></div>'
        f"<div><h3>the answer</h3>{text}</div></div>"
    )


def _with_code(text: str) -> str:
    """Escaped, and what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _test(test: TestGrade) -> str:
    tone = {"missing": "error"}.get(test.outcome, test.outcome)
    name = test.id.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    known = {str(outcome) for outcome in Outcome}
    style = _tone(tone if tone in known else "error")
    label = f"<b>{escape(test.outcome)}</b><span>{escape(name)}</span>"
    return f'<li style="{style}">{label}<em>{test.seconds:.2f} s</em></li>'
