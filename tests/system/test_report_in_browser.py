"""The report page in a real browser: it fits a phone, fills in what was measured, and runs no foreign text."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.report import make
from tests.system.report_fixture import run_store

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
PROBE = "<script>document.body.dataset.overflow = document.documentElement.scrollWidth - innerWidth</script>"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

pytestmark = pytest.mark.skipif(BROWSER is None, reason="not checked: no Chromium or Chrome on this machine")


def dom_after_loading(page: Path, profile: Path, width: int) -> str:
    """The page's document as it stands once its scripts ran."""
    command = [
        BROWSER or "",
        *FLAGS,
        f"--user-data-dir={profile}",
        f"--window-size={width},900",
        "--dump-dom",
    ]
    result = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return result.stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = run_store(tmp_path_factory.mktemp("store"))
    make.main(make.MakeReport(store=store.root))
    folder = tmp_path_factory.mktemp("page") / "report"
    shutil.copytree(store.open("base", "Report").path, folder)
    index = folder / "index.html"
    index.write_text(
        index.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8"
    )
    return index


@pytest.mark.parametrize("width", [500, 1200])
def test_page_fits_its_window_and_shows_what_was_measured(page: Path, tmp_path: Path, width: int) -> None:
    dom = dom_after_loading(page, tmp_path / "profile", width)
    overflow = re.search(r'data-overflow="(-?\d+)"', dom)
    assert overflow, "the probe did not run"
    assert int(overflow[1]) <= 0
    assert re.search(r'data-cost="tokens_per_second"><dd data-value="">1,051</dd>', dom)
    assert "<title>owned</title>" not in dom


def test_page_without_its_cost_file_hides_what_was_measured(page: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.html"
    alone.write_bytes(page.read_bytes())
    dom = dom_after_loading(alone, tmp_path / "profile", 1200)
    assert re.search(r'data-cost="tokens_per_second" hidden=""', dom)
