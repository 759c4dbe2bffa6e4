"""Tests that must fail. One of them reported as passed means that somebody touched the grader: see `judge`.

They run before and after the graded tests, in the same session, through the same comparisons.
"""

from typing import Any

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal

WORDS: dict[str, Any] = {
    "what": "a canary: this must fail",
    "why": "a comparison that accepts this accepts anything",
}


def _plain() -> None:
    assert 1 + 1 == 3


def _close() -> None:
    expect_close(torch.tensor([1.0, 2.0, 3.0]), [1.0, 2.0, 3.001], atol=1e-4, **WORDS)


def _equal() -> None:
    expect_equal([b"a", b"b"], [b"a", b"c"], **WORDS)


def _condition() -> None:
    expect(bool(torch.equal(torch.ones(2), torch.zeros(2))), **WORDS)


def _library() -> None:
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(np.ones(3), np.full(3, 1.1))
    assert torch.allclose(torch.ones(3), torch.full((3,), 1.1))


def _raises() -> None:
    with pytest.raises(ValueError):
        int("3")


CANARIES = {
    "plain": _plain,
    "close": _close,
    "equal": _equal,
    "condition": _condition,
    "library": _library,
    "raises": _raises,
}


@pytest.mark.parametrize("kind", CANARIES)
@pytest.mark.parametrize("when", ["before", "after"])
def test_canary(when: str, kind: str) -> None:
    """Must fail."""
    CANARIES[kind]()


def test_canary_may_pass_too() -> None:
    """Must pass: a harness in which everything fails is broken as well."""
    expect_close([1.0], [1.0], atol=0.0, **WORDS)
