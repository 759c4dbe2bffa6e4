"""Progress: silent for short work, sparse lines elsewhere than on a terminal, a bar on one."""

import io

import pytest

from shared.runs.progress import clock_text, progress


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines_of(seconds_per_item, count, total=True):
    stream, clock = io.StringIO(), Clock()
    work = range(count) if total else iter(range(count))
    for _ in progress(work, "reading", "files", stream=stream, clock=clock):
        clock.now += seconds_per_item
    return stream.getvalue().split("\n")[:-1]


def test_short_work_prints_nothing():
    assert lines_of(0.1, 19) == []


def test_lines_become_sparser_and_the_last_one_says_done():
    lines = lines_of(1.0, 1000)
    assert lines[0] == "reading: 2 of 1,000 files, 1 files/s, about 16 min 38 s left"
    assert 15 < len(lines) < 25  # 2, 6, 14, 30, 62 s and then once a minute
    assert lines[-1] == "reading: 1,000 of 1,000 files, done in 16 min 40 s"


def test_without_a_total_there_is_a_rate_and_no_time_left():
    lines = lines_of(1.0, 10, total=False)
    assert lines[0] == "reading: 2 files, 1 files/s"


def test_items_pass_through_unchanged():
    assert list(progress("abc", "x", "y", stream=io.StringIO())) == ["a", "b", "c"]


def test_time_left_counts_from_where_a_resumed_run_started():
    clock = Clock()
    bar = progress(100, "train", "steps", start=90, stream=io.StringIO(), clock=clock)
    assert bar.seconds_left() is None
    clock.now = 4.0
    bar.advance(2)
    assert bar.seconds_left() == pytest.approx(16.0)


def test_notes_are_shown_and_stay_until_replaced():
    stream, clock = io.StringIO(), Clock()
    with progress(10, "train", "steps", stream=stream, clock=clock) as bar:
        bar.advance(note="loss 3.2")
        clock.now = 3.0
        bar.advance()
    assert "loss 3.2" in stream.getvalue()


def test_an_exception_passes_and_leaves_no_word_of_success():
    stream, clock = io.StringIO(), Clock()

    def interrupted():
        with progress(10, "x", stream=stream, clock=clock) as bar:
            clock.now = 3.0
            bar.advance()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert "x: 1 of 10" in stream.getvalue()
    assert "done" not in stream.getvalue()


def test_a_terminal_gets_a_bar_once_the_work_has_lasted():
    stream, clock = Terminal(), Clock()
    with progress(10, "train", "steps", stream=stream, clock=clock) as bar:
        bar.advance()
        assert stream.getvalue() == ""
        clock.now = 3.0
        bar.advance(note="loss 3.2")
    assert "train" in stream.getvalue()
    assert "2/10" in stream.getvalue()


def test_a_total_cannot_be_iterated():
    with pytest.raises(TypeError, match="with"):
        list(progress(3, "x"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599.9, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_clock_text(seconds, text):
    assert clock_text(seconds) == text
