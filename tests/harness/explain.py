"""Assertions that teach: what was checked, why it matters, and the smallest counter-example.

They compare in plain float64 numpy and use nothing that is an exercise: a grader that compares with the
learner's own function can be talked into anything. Values are read only from plain numpy, torch and built-in
types, so an object that claims to equal everything convinces nobody.
"""

import math
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn

import numpy as np
import torch

PLAIN = (
    *(bool, int, float, complex, str, bytes, bytearray, type(None), list, tuple, dict, set, frozenset, range),
    *(*dict.fromkeys(np.sctypeDict.values()), np.ndarray, np.memmap),
    *(torch.Tensor, torch.nn.Parameter, torch.Size, torch.dtype, torch.device),
)


class Lesson(AssertionError):
    """A failed check, in parts that the grader can lay out: what, why, and the counter-example."""

    def __init__(self, what: str, why: str, counterexample: str = "", case: str = "") -> None:
        self.what, self.why, self.counterexample, self.case = what, why, counterexample, case
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [f"checked: {self.what}"]
        if self.case:
            lines.append(f"case: {self.case}")
        if self.counterexample:
            lines.append(self.counterexample)
        lines.append(f"why it matters: {self.why}")
        return "\n".join(lines)


def expect(condition: object, *, what: str, why: str, counterexample: str = "", case: str = "") -> None:
    """Fail with a lesson unless the condition is the boolean True (a truthy tuple is a mistake here).

    Raises:
        Lesson: the condition is false. TypeError: it is no boolean.
    """
    if not isinstance(condition, (bool, np.bool_)):
        raise TypeError(f"expect() wants a bool, got {type(condition).__name__}: compare first")
    if not condition:
        raise Lesson(what, why, counterexample, case)


def fail(*, what: str, why: str, counterexample: str = "", case: str = "") -> NoReturn:
    """Fail with a lesson. Raises: Lesson."""
    raise Lesson(what, why, counterexample, case)


def expect_equal(got: Any, want: Any, *, what: str, why: str, case: str = "") -> None:
    """Fail with a lesson unless both are equal, element for element, in type of container and in value.

    Floats compare exactly; use `expect_close` for rounding. Tensors and arrays compare by shape and content.

    Raises:
        Lesson: they differ; the counter-example is the first difference.
    """
    difference = _first_difference(got, want)
    if difference:
        raise Lesson(what, why, difference, case)


def expect_close(
    got: Any, want: Any, *, what: str, why: str, atol: float, rtol: float = 0.0, case: str = ""
) -> None:
    """Fail with a lesson unless |got - want| <= atol + rtol * |want| everywhere; shapes and NaNs alike.

    Raises:
        Lesson: they differ; the counter-example is the element that is furthest off.
    """
    got_array, want_array = _float_array(got), _float_array(want)
    if got_array is None:
        raise Lesson(what, why, f"got {_show(got)}, wanted numbers of shape {_shape_of(want_array)}", case)
    if want_array is None:
        raise TypeError(f"expect_close() was given no numbers to compare with: {_show(want)}")
    if got_array.shape != want_array.shape:
        raise Lesson(what, why, f"shape: got {got_array.shape}, wanted {want_array.shape}", case)
    if not want_array.size:
        return
    with np.errstate(invalid="ignore", over="ignore"):
        same = (got_array == want_array) | (np.isnan(got_array) & np.isnan(want_array))
        excess = np.abs(got_array - want_array) - (atol + rtol * np.abs(want_array))
    excess = np.where(same, -np.inf, np.where(np.isnan(excess), np.inf, excess))
    wrong = excess > 0
    if not wrong.any():
        return
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), excess.shape))
    place = f"at {list(index)}: " if index else ""
    lines = [f"{place}got {got_array[index]:.9g}, wanted {want_array[index]:.9g}"]
    gap = abs(got_array[index] - want_array[index])
    if math.isfinite(gap):
        lines[0] += f" (off by {gap:.3g}, allowed {atol + rtol * abs(want_array[index]):.3g})"
    if want_array.size > 1:
        nans = int(np.isnan(got_array[wrong]).sum())
        lines.append(
            f"{int(wrong.sum())} of {want_array.size} elements are off; shape {want_array.shape}"
            + (f"; {nans} of them are NaN" if nans else "")
        )
    if 1 < want_array.size <= 8:
        lines += [f"got    {_numbers(got_array)}", f"wanted {_numbers(want_array)}"]
    raise Lesson(what, why, "\n".join(lines), case)


def _is_plain(value: Any) -> bool:
    """True for exactly the types whose own methods can be trusted, whatever a class says its name and module are."""
    return any(type(value) is kind for kind in PLAIN)


def _is_plain_throughout(value: Any) -> bool:
    """The same of the members of a tuple, however deep: what may be looked up by its hash."""
    return _is_plain(value) and (type(value) is not tuple or all(_is_plain_throughout(v) for v in value))


def _off_device(value: Any) -> Any:
    """A plain value that numpy can read; the method of the class, which an attribute of a tensor cannot hide."""
    return torch.Tensor.detach(value).cpu() if isinstance(value, torch.Tensor) else value


def _float_array(value: Any) -> np.ndarray | None:
    if not _is_plain(value):
        return None
    value = _off_device(value)
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        value = value.double()  # numpy has no bfloat16
    try:
        array = np.asarray(value)
        return array.astype(np.float64) if array.dtype.kind in "fiub" else None
    except (TypeError, ValueError):
        return None


def _shape_of(array: np.ndarray | None) -> str:
    return "unknown" if array is None else str(array.shape)


def _numbers(array: np.ndarray) -> str:
    return np.array2string(array, precision=6, separator=", ", threshold=16).replace("\n", " ")


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "detach")


def _first_difference(got: Any, want: Any, where: str = "") -> str:
    """The first place where two values differ, in words; empty when they are equal."""
    at = f"at {where}: " if where else ""
    if _is_array(got) or _is_array(want):
        return _array_difference(got, want, at)
    if (
        isinstance(want, bool)
        or isinstance(got, bool)
        or isinstance(want, (str, bytes, int, float, type(None)))
    ):
        kinds = (type(got), type(want))
        both_numbers = all(issubclass(k, (int, float, np.number)) and k is not bool for k in kinds)
        if _is_plain(got) and (type(got) is type(want) or both_numbers) and got == want:
            return ""
        if type(got) is type(want) and isinstance(want, (str, bytes)):
            return at + _text_difference(got, want)
        return f"{at}got {_show(got)}, wanted {_show(want)}"
    if isinstance(want, dict):
        return _dict_difference(got, want, where, at)
    if isinstance(want, (list, tuple)):
        return _sequence_difference(got, want, where, at)
    if is_dataclass(want) and type(got) is type(want):  # whose generated comparison asks its fields' own
        left, right = ({f.name: getattr(v, f.name) for f in fields(want)} for v in (got, want))
        return _dict_difference(left, right, where, at)
    numbers = isinstance(got, (int, float, np.generic)) and isinstance(want, np.generic)
    same_kind = type(got) is type(want) or numbers
    honest = _is_plain(got) and (not isinstance(got, (set, frozenset)) or all(map(_is_plain_throughout, got)))
    return "" if same_kind and honest and got == want else f"{at}got {_show(got)}, wanted {_show(want)}"


def _array_difference(got: Any, want: Any, at: str) -> str:
    if not (_is_array(got) and _is_array(want)):
        return f"{at}got a {type(got).__name__} {_show(got)}, wanted a {type(want).__name__} {_show(want)}"
    for value in (got, want):
        if not _is_plain(value) or (isinstance(value, np.ndarray) and value.dtype.hasobject):
            return f"{at}got {_show(value)}, wanted a plain array or tensor of numbers"
    left, right = (np.asarray(_off_device(value)) for value in (got, want))
    if left.shape != right.shape:
        return f"{at}shape: got {left.shape}, wanted {right.shape}"
    wrong = np.argwhere(left != right)
    if not len(wrong):
        return ""
    index = tuple(int(i) for i in wrong[0])
    return (
        f"{at}first difference at {list(index)}: got {left[index]}, wanted {right[index]} "
        f"({len(wrong)} of {right.size} differ)"
    )


def _dict_difference(got: Any, want: dict[Any, Any], where: str, at: str) -> str:
    if not isinstance(got, dict):
        return f"{at}got {_show(got)}, wanted a dict"
    for key in got:
        if not _is_plain_throughout(key):
            return f"{at}key {_show(key)} is a {type(key).__name__}, wanted a plain key"
    for key in want:
        if key not in got:
            return f"{at}key {_show(key)} is missing (wanted value {_show(want[key])}; got {len(got)} keys)"
        difference = _first_difference(got[key], want[key], f"{where}[{_show(key)}]")
        if difference:
            return difference
    extra = [key for key in got if key not in want]
    return f"{at}key {_show(extra[0])} should not be there ({len(extra)} too many)" if extra else ""


def _sequence_difference(got: Any, want: list[Any] | tuple[Any, ...], where: str, at: str) -> str:
    if type(got) is not type(want) and not (isinstance(got, tuple) and isinstance(want, tuple)):
        return f"{at}got a {type(got).__name__} {_show(got)}, wanted the {type(want).__name__} {_show(want)}"
    for i, (left, right) in enumerate(zip(got, want, strict=False)):
        difference = _first_difference(left, right, f"{where}[{i}]")
        if difference:
            if not where and len(want) <= 12 and len(got) <= 12:
                difference += f"\ngot    {_show(got)}\nwanted {_show(want)}"
            return difference
    if len(got) != len(want):
        shorter = min(len(got), len(want))
        longer, word = (got, "too many") if len(got) > len(want) else (want, "missing")
        text = f"{at}length: got {len(got)}, wanted {len(want)}; "
        text += f"first {word}: [{shorter}] = {_show(longer[shorter])}"
        return text + (
            f"\ngot    {_show(got)}\nwanted {_show(want)}" if len(want) <= 12 and len(got) <= 12 else ""
        )
    return ""


def _text_difference(got: Any, want: Any) -> str:
    start = next(
        (i for i, (a, b) in enumerate(zip(got, want, strict=False)) if a != b), min(len(got), len(want))
    )
    if len(got) <= 80 and len(want) <= 80:
        return f"got {got!r}, wanted {want!r} (first difference at index {start})"
    window = slice(max(0, start - 10), start + 20)
    return (
        f"first difference at index {start}: got ...{got[window]!r}..., wanted ...{want[window]!r}... "
        f"(lengths {len(got)} and {len(want)})"
    )


def _show(value: Any, limit: int = 160) -> str:
    if hasattr(value, "detach") and getattr(value, "numel", lambda: 0)() > 8:
        return f"<tensor of shape {tuple(value.shape)}, {value.dtype}>"
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
