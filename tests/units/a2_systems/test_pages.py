"""Laws of the cache's pages: conserved whatever happens, found by what they hold, copied before others lose them."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2_systems.inference.pages import BlockTable, OutOfPages, PagePool
from a2_systems.inference.requests import Request, TextStream
from a2_systems.inference.scheduler import Scheduler
from shared.doors.inference import EngineConfig, SamplingParams


def expect_conserved(pool, tables):
    """Every page is free, kept for its name, or held by exactly the tables that list it."""
    listed = [0] * pool.num_pages
    for table in tables:
        assert len(set(table.pages)) == len(table.pages)
        for page in table.pages:
            listed[page] += 1
    assert pool.holders == listed
    assert pool.num_available == sum(count == 0 for count in listed)


def request_of(number, pool, tokens, max_new_tokens):
    stream = TextStream({})
    params = SamplingParams(max_new_tokens=max_new_tokens)
    return Request(
        number, len(tokens), [*tokens], params, BlockTable(pool), stream, len(tokens) + max_new_tokens
    )


def test_no_page_leaks_after_ten_thousand_steps_of_admission_cancelling_and_putting_off():
    """A scheduler without a model: random prompts (many begin alike), random ends, far too few pages."""
    rng = random.Random(0)
    pool = PagePool(num_pages=24, page_size=4)
    scheduler = Scheduler(pool, EngineConfig(max_sequences=6, tokens_per_step=13))
    beginnings = [[rng.randrange(9) for _ in range(20)] for _ in range(3)]
    alive, put_off, cancelled, ended = [], 0, 0, 0
    for number in range(10_000):
        if rng.random() < 0.4 and len(alive) < 20:
            prompt = rng.choice(beginnings)[: rng.randrange(1, 20)] + [rng.randrange(9)] * rng.randrange(3)
            request = request_of(number, pool, prompt, rng.randrange(1, 40))
            alive.append(request)
            scheduler.waiting.append(request)
        if alive and rng.random() < 0.05:
            gone = alive.pop(rng.randrange(len(alive)))
            scheduler.remove(gone)
            cancelled += 1
        running = len(scheduler.running)
        turns = scheduler.plan()
        put_off += len(scheduler.running) < running
        assert sum(turn.num_tokens for turn in turns) <= 13
        assert not scheduler.running or turns, "somebody always gets on"
        for turn in turns:
            one = turn.request
            assert pool.pages_for(one.num_cached + turn.num_tokens) <= len(one.table.pages)
            one.num_cached += turn.num_tokens
            one.table.name_full_pages(one.tokens, one.num_cached)
            if one.num_cached == len(one.tokens):
                one.take(rng.randrange(9), 0.0)
                if one.finish_reason:
                    ended += 1
                    alive.remove(one)
                    scheduler.remove(one)
        expect_conserved(pool, [one.table for one in alive])
    assert min(put_off, cancelled, ended) > 100, "the storm was none"
    for one in alive:
        scheduler.remove(one)
    assert pool.num_available == pool.num_pages


@given(st.integers(1, 7), st.lists(st.integers(0, 2), max_size=40), st.lists(st.integers(0, 2), max_size=40))
def test_what_is_shared_is_what_both_read(page_size, first, second):
    """Full pages of the common beginning, no more and no fewer, and never the whole of what is asked for."""
    pool = PagePool(100, page_size)
    one, other = BlockTable(pool), BlockTable(pool)
    one.reserve(len(first), 0)
    one.name_full_pages(first, len(first))
    common = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    common = min(len(first), len(second)) if common is None else common
    at_most = max(0, len(second) - 1)
    assert other.share_prefix(second, at_most) == min(common, at_most) // page_size * page_size
    assert other.pages == one.pages[: len(other.pages)]
    one.free()
    assert pool.num_available == pool.num_pages - len(other.pages)


def test_a_shared_page_is_copied_before_it_is_written_and_a_page_of_ones_own_is_not():
    pool = PagePool(8, 4)
    one = BlockTable(pool)
    one.reserve(6, 0)
    other = one.fork(6)
    assert other.pages == one.pages
    before = [*one.pages]
    [(old, new)] = other.reserve(7, writes_from=6)
    assert (old, other.pages) == (before[1], [before[0], new])
    assert one.reserve(7, writes_from=6) == []
    assert one.pages == before


def test_a_named_page_outlives_its_holder_until_it_is_needed():
    pool = PagePool(2, 2)
    one = BlockTable(pool)
    one.reserve(4, 0)
    one.name_full_pages([1, 2, 3, 4], 4)
    one.free()
    again = BlockTable(pool)
    assert again.share_prefix([1, 2, 3, 4], 4) == 4
    again.free()
    other = BlockTable(pool)
    other.reserve(2, 0)  # takes the longest unused: the prefix's end, which was given back first
    assert BlockTable(pool).share_prefix([1, 2, 3, 4], 4) == 2


def test_a_reservation_takes_all_or_nothing():
    pool = PagePool(3, 2)
    one, other = BlockTable(pool), BlockTable(pool)
    one.reserve(4, 0)
    with pytest.raises(OutOfPages, match="2 pages are wanted, 1 are left"):
        other.reserve(4, 0)
    assert other.pages == []
    assert pool.num_available == 1


def test_a_page_given_back_twice_is_an_error():
    pool = PagePool(2, 2)
    page = pool.take()
    pool.give_back(page)
    with pytest.raises(ValueError, match="given back before"):
        pool.give_back(page)


@settings(max_examples=200)
@given(
    st.text(alphabet="abcé한", max_size=30),
    st.lists(st.text(alphabet="abcé", min_size=1, max_size=4), max_size=3),
)
def test_streamed_text_is_the_text_up_to_the_first_stop(text, stops):
    """Fed byte by byte: what is shown never has to be taken back."""
    stream = TextStream({value: bytes([value]) for value in range(256)}, tuple(stops))
    shown = ""
    for byte in text.encode():
        shown += stream.feed(byte)
        if stream.has_stopped:
            break
    shown += stream.finish()
    ends = [text.find(stop) for stop in stops if stop in text]
    # Of two stop texts the one that is complete first ends the answer, even where another began before it.
    assert text.startswith(shown)
    assert stream.has_stopped == bool(ends)
    if not ends:
        assert shown == text
    if len(stops) == 1 and ends:
        assert shown == text[: ends[0]]
    assert stream.text == shown
