"""The chat page in a real browser: type, read what streams in, look at probabilities, stop, regenerate, begin anew."""

import json

import pytest

from shared.doors.inference import SamplingParams
from tests.system.browser import CHROMIUM, browser
from tests.system.http_client import ask
from tests.system.served import serving, small_engine

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="not checked: no Chromium or Chrome on this machine")
READY = "document.getElementById('status').textContent === 'ready'"
PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with serving(small_engine()) as server, browser(tmp_path_factory.mktemp("profile")) as page:
        page.look()
        page.open(server.url)
        page.wait_for(READY)
        page.url = server.url
        yield page


@pytest.fixture(autouse=True)
def new_talk(page):
    yield
    page.evaluate("document.getElementById('clear').click()")


def say(page, text, **settings):
    for name, value in settings.items():
        page.evaluate(f"document.querySelector('input[name={name}]').value = {json.dumps(str(value))}")
    page.evaluate("document.getElementById('text').focus()")
    page.type(text)
    page.press("Enter", 13)


def shown(page):
    """The text of the answers' tokens."""
    return page.evaluate("[...document.querySelectorAll('.token')].map((one) => one.textContent).join('')")


def test_what_is_typed_is_answered_by_the_model_token_by_token(page):
    wanted = (
        small_engine().generate([PROMPT.encode()], SamplingParams(max_new_tokens=30, temperature=0))[0].text
    )
    say(page, PROMPT, temperature=0, max_tokens=30)
    page.wait_for("document.querySelectorAll('.meta').length === 1")
    assert shown(page) == wanted
    assert page.evaluate("document.querySelectorAll('.token').length") == 30
    assert "30 tokens" in page.text()
    assert page.evaluate("document.querySelector('.user').textContent") == PROMPT


def test_a_token_tells_what_else_it_could_have_been(page):
    say(page, PROMPT, temperature=0, max_tokens=5)
    page.wait_for("document.querySelectorAll('.meta').length === 1")
    page.hover(".token:nth-of-type(2)")
    page.wait_for("!document.getElementById('tip').hidden")
    rows = page.evaluate("[...document.querySelectorAll('#tip tr')].map((row) => row.innerText)")
    assert len(rows) == 5
    assert all(row.endswith(" %") for row in rows)
    assert page.evaluate("document.querySelector('#tip .own') === document.querySelector('#tip tr')"), (
        "greedy"
    )


def test_regenerate_asks_again_for_the_same_and_new_forgets(page):
    say(page, PROMPT, temperature=1, max_tokens=30)
    page.wait_for("document.querySelectorAll('.meta').length === 1")
    first = shown(page)
    page.evaluate("document.getElementById('again').click()")
    page.wait_for("document.querySelectorAll('.meta').length === 1")
    assert page.evaluate("document.querySelectorAll('li').length") == 2
    assert shown(page) != first, "a random seed each time"
    page.evaluate("document.getElementById('clear').click()")
    assert page.evaluate("document.querySelectorAll('li').length") == 0
    page.wait_for("!document.getElementById('empty').hidden")


def test_escape_stops_and_what_came_stays(page):
    """An answer that never ends by itself, until the page gives it up."""
    page.evaluate(
        "window.realFetch = window.fetch; window.fetch = (url, how) => new Promise((_, fail) => "
        "how.signal.addEventListener('abort', () => fail(new DOMException('', 'AbortError'))))"
    )
    say(page, PROMPT)
    page.wait_for("document.getElementById('send').textContent === 'Stop'")
    page.press("Escape", 27)
    page.wait_for("document.getElementById('send').textContent === 'Send'")
    page.evaluate("window.fetch = window.realFetch")
    assert page.evaluate("document.querySelectorAll('.wrong').length") == 0


def test_a_refusal_is_shown_in_words(page):
    say(page, "x" * 200)
    page.wait_for("document.querySelector('.wrong')")
    assert "leaves no room for an answer" in page.text()


def test_foreign_text_is_text(page):
    say(page, "<img src=x onerror=document.title='owned'>", temperature=0, max_tokens=3)
    page.wait_for("document.querySelectorAll('.meta').length === 1")
    assert page.evaluate("document.title") == "tiny"
    assert page.evaluate("document.querySelector('.user').children.length") == 0


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_its_window_also_with_all_settings_open(page, width):
    page.look(width=width)
    page.evaluate("document.getElementById('settings').open = true")
    say(page, "w" * 60, temperature=0, max_tokens=10)
    page.wait_for("document.querySelectorAll('.meta').length === 1")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.evaluate("document.getElementById('settings').open = false")
    page.look()


def test_it_loads_nothing_from_elsewhere_and_runs_nothing_that_is_not_its_own(page):
    names = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    assert all(name.startswith(page.url) for name in names)
    head = ask(int(page.url.rstrip("/").rpartition(":")[2]), "/").headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in head
