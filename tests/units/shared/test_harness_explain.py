"""The assertions that teach: what they accept, what they refuse, and what a failure says."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tests.harness.explain import Lesson, expect, expect_close, expect_equal

WORDS = {"what": "the sum", "why": "it is used"}


def lesson(check, *arguments, **keywords) -> str:
    with pytest.raises(Lesson) as caught:
        check(*arguments, **{**WORDS, **keywords})
    return caught.value.counterexample


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (torch.tensor([1.0, 2.0]), [1.0, 2.0]),
        (np.float32(1), 1),
        (float("inf"), float("inf")),
        ([float("nan")], [float("nan")]),
        (torch.tensor([1.0], dtype=torch.bfloat16), [1.0]),
        (torch.ones(2, requires_grad=True), np.ones(2)),
        ([1.0 + 1e-7], [1.0]),
        ([], []),
    ],
    ids=str,
)
def test_close_accepts(got, want):
    expect_close(got, want, atol=1e-6, **WORDS)


@pytest.mark.parametrize(
    ("got", "want", "said"),
    [
        ([1.0, 2.1], [1.0, 2.0], "at [1]: got 2.1, wanted 2"),
        ([float("nan"), 1.0], [1.0, 1.0], "1 of them are NaN"),
        ([float("inf")], [float("-inf")], "got inf, wanted -inf"),
        (torch.ones(2, 1), [1.0, 1.0], "shape: got (2, 1), wanted (2,)"),
        (None, [1.0], "got None, wanted numbers of shape (1,)"),
        ("1.0", 1.0, "got '1.0'"),
        ([1.0, None], [1.0, 1.0], "wanted numbers"),
        ([[1.0], [1.0, 2.0]], [[1.0, 1.0], [1.0, 2.0]], "wanted numbers"),
    ],
    ids=str,
)
def test_close_refuses(got, want, said):
    assert said in lesson(expect_close, got, want, atol=1e-6)


def test_close_shows_the_worst_element():
    assert lesson(expect_close, [1.1, 5.0, 1.2], [1.0, 1.0, 1.0], atol=0.01).startswith(
        "at [1]: got 5, wanted 1"
    )


def test_relative_tolerance_is_of_the_wanted_number():
    expect_close(101.0, 100.0, atol=0.0, rtol=0.01, **WORDS)
    lesson(expect_close, 1.0, 0.0, atol=0.0, rtol=0.5)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        ([1, b"a"], [1, b"a"]),
        ({1: (2, "x")}, {1: (2, "x")}),
        (np.int64(3), 3),
        (None, None),
        (np.uint16(3), np.int64(3)),
        (3, np.int64(3)),
        (torch.nn.Parameter(torch.ones(2)), np.ones(2)),
        ({1, (2, 3)}, {1, (2, 3)}),
        (torch.float32, torch.float32),
        (torch.Size((2, 3)), (2, 3)),
        (np.float32(0.5), 0.5),
    ],
    ids=str,
)
def test_equal_accepts(got, want):
    expect_equal(got, want, **WORDS)


@pytest.mark.parametrize(
    ("got", "want", "said"),
    [
        ([1, 2, 3], [1, 2], "too many: [2] = 3"),
        ([1], [1, 2], "missing: [1] = 2"),
        ((1, 2), [1, 2], "got a tuple"),
        ({1: b"a"}, {1: b"a", 2: b"b"}, "key 2 is missing"),
        ({1: b"a", 2: b"b"}, {1: b"a"}, "key 2 should not be there"),
        ({1: b"a"}, {1: b"b"}, "at [1]"),
        ("hello", "hallo", "first difference at index 1"),
        (b"a", "a", "got b'a', wanted 'a'"),
        (True, 1, "got True, wanted 1"),
        (1, True, "got 1, wanted True"),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), "first difference at [1]: got 2, wanted 3"),
        ([1, 2], torch.tensor([1, 2]), "wanted a Tensor"),
    ],
    ids=str,
)
def test_equal_refuses(got, want, said):
    assert said in lesson(expect_equal, got, want)


class Liar:
    """Equal to everything, shaped like anything."""

    shape = (1,)

    def __eq__(self, other):
        return True

    __hash__ = None

    def __array__(self, dtype=None, copy=None):
        return np.array([1.0])

    def __float__(self):
        return 1.0


class LyingInt(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


class LyingTensor(torch.Tensor):
    def detach(self):
        return torch.tensor([1.0])


def test_liars_convince_nobody():
    lesson(expect_equal, Liar(), 1)
    lesson(expect_equal, [Liar()], ["a"])
    lesson(expect_equal, LyingInt(5), 6)
    lesson(expect_close, Liar(), [1.0], atol=1.0)
    lesson(expect_close, torch.tensor([9.0]).as_subclass(LyingTensor), [1.0], atol=1e-3)


class LyingName(int):
    """Equal to everything, different from nothing, and numpy's own if one asks for its name."""

    __module__ = "numpy"

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __hash__ = int.__hash__


class LyingKind(type):
    def __eq__(cls, other):
        return True

    def __hash__(cls):
        return hash(int)


class LyingType(int, metaclass=LyingKind):
    """An int whose very class claims to be equal to `int`."""

    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


class LyingArray(np.ndarray):
    """Nothing in it differs from anything."""

    __module__ = "numpy"

    def __ne__(self, other):
        return np.zeros(self.shape, dtype=bool)


@dataclass(frozen=True)
class Shape:
    width: int


@pytest.mark.parametrize("liar", [LyingName(5), LyingType(5)], ids=["name", "type"])
def test_liars_about_their_type_convince_nobody(liar):
    lesson(expect_equal, liar, 6)
    lesson(expect_equal, liar, np.int64(6))
    lesson(expect_equal, [1, liar], [1, 6])
    lesson(expect_equal, (1, liar), (1, 6))
    lesson(expect_equal, {"a": liar}, {"a": 6})
    lesson(expect_equal, {LyingName(6): b"a"}, {6: b"a"})
    lesson(expect_equal, {(1, LyingName(6)): b"a"}, {(1, 6): b"a"})
    lesson(expect_equal, {LyingName(6)}, {6})
    lesson(expect_equal, np.array([liar], dtype=object), np.array([6]))
    lesson(expect_equal, np.array([5]).view(LyingArray), np.array([6]))
    lesson(expect_equal, torch.tensor([9.0]).as_subclass(LyingTensor), torch.tensor([1.0]))
    lesson(expect_equal, liar, torch.float32)
    lesson(expect_equal, Shape(liar), Shape(6))
    lesson(expect_close, [liar], [6.0], atol=0.1)


def test_a_method_put_on_a_tensor_convinces_nobody():
    wrong = torch.tensor([9.0])
    wrong.detach = lambda: torch.tensor([1.0])
    lesson(expect_close, wrong, [1.0], atol=1e-3)
    lesson(expect_equal, wrong, torch.tensor([1.0]))


def test_dataclasses_are_compared_field_by_field():
    expect_equal([Shape(2)], [Shape(2)], **WORDS)
    assert "at [0]['width']: got 2, wanted 3" in lesson(expect_equal, [Shape(2)], [Shape(3)])


def test_condition_must_be_a_boolean():
    expect(True, **WORDS)
    assert lesson(expect, False, counterexample="2 > 1") == "2 > 1"
    for condition in ((False, "reason"), torch.tensor(True), "yes", 1):
        with pytest.raises(TypeError):
            expect(condition, **WORDS)


def test_a_lesson_reads_in_order():
    text = str(Lesson("the sum", "it is used", "got 1, wanted 2", "two numbers"))
    assert text == "checked: the sum\ncase: two numbers\ngot 1, wanted 2\nwhy it matters: it is used"
