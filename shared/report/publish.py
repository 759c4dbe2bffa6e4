"""A page becomes a Report: made once for the same inputs and code, its measured times in a file of their own.

What a run took differs each time and must not change what the page *is*. So the page has empty, hidden slots
(`cost_slot`), and the texts that fill them lie beside it, outside the digest.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from shared.report.markup import STYLE_SHEET, Child, Html, document, tag
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import read_report
from shared.store.manifests import MEASURED

_COST_FILE = f"{MEASURED}/cost.js"
_FILL_IN_COST = """
for (const [name, text] of Object.entries(window.cost || {})) {
  for (const slot of document.querySelectorAll(`[data-cost="${name}"]`)) {
    slot.querySelector("[data-value]").textContent = text;
    slot.hidden = false;
  }
}
"""


def publish(
    store: Store,
    program: str,
    config: Any,
    inputs: dict[str, str],
    write: Callable[[Path], object],
    *,
    title: str = "",
    sources: Iterable[str] = (),
) -> None:
    """Publish the Report `config.name`, unless the same was made before, and say where its page is.

    `config` names its artifacts by digest, `inputs` are these digests by role, and `write(folder)` writes the page.
    A `title` that the page shows decides its outcome as well, and so do the `sources` that it runs beside `shared`.
    """
    style = hashlib.sha256(STYLE_SHEET.read_bytes()).hexdigest()  # the key knows Python sources only
    key = step_key(program, config, {**inputs, "style": style, "title": title}, sources)
    report = already_made(store, key, config.name)
    if report is None:
        with store.draft(
            "Report", config=recorded(config), parents=inputs, name=config.name, key=key
        ) as draft:
            write(draft.path)
        report = draft.artifact
        print(report)
    print(f"open in a browser: {read_report(report)}")


def write_page(folder: Path, title: str, *body: Child, costs: Mapping[str, str] | None = None) -> Path:
    """Write a page into a folder, and the texts of its cost slots beside it when it has any; returns the page."""
    page = folder / "index.html"
    if costs is None:
        page.write_text(document(title, *body), encoding="utf-8")
        return page
    page.write_text(document(title, *body, script=_FILL_IN_COST, script_file=_COST_FILE), encoding="utf-8")
    (folder / MEASURED).mkdir(exist_ok=True)
    (folder / _COST_FILE).write_text(f"window.cost = {json.dumps(costs)};\n", encoding="utf-8")
    return page


def cost_slot(key: str) -> Html:
    """A place for `costs[key]`, hidden until the file beside the page fills it in."""
    return tag("span", tag("span", data_value=""), data_cost=key, hidden="")
