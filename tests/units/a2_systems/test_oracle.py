"""What the table of kernels calls right and wrong."""

import itertools

import pytest
import torch

from a2_systems.measure import oracle
from a2_systems.run import check_kernels
from shared.errors import ConfigError

CPU = torch.device("cpu")


def judged(kernel):
    """The row of a kernel that should be a softmax."""
    x = torch.randn(16, 40, generator=torch.Generator().manual_seed(0))

    def softmax(x):
        return x.softmax(dim=-1)

    return oracle.compared("softmax", "rows", kernel, softmax, softmax, [x], x, ["y", "dx"])


def test_the_plain_version_itself_is_right():
    row = judged(lambda x: x.softmax(dim=-1))
    assert row["outcome"] == "right"
    assert [error <= bound / 2 for error, bound in zip(row["errors"], row["bounds"], strict=True)] == [
        True
    ] * 2


def test_a_result_a_gradient_and_a_number_that_is_none_are_told_from_right_ones():
    off_by_little = judged(lambda x: x.softmax(dim=-1) * (1 + 1e-5))
    wrong_gradient = judged(lambda x: x.softmax(dim=-1) + (x - x.detach()) * 1e-3)
    no_number = judged(lambda x: x.softmax(dim=-1) * torch.nan)
    assert [row["outcome"] for row in (off_by_little, wrong_gradient, no_number)] == ["wrong"] * 3
    assert wrong_gradient["errors"][0] <= wrong_gradient["bounds"][0]


def test_other_bits_the_second_time_are_wrong():
    turns = itertools.count()
    row = judged(lambda x: x.softmax(dim=-1) * (1 + 1e-7 * next(turns)))
    assert not row["repeats"]
    assert row["outcome"] == "wrong"
    assert "other bits" in check_kernels.line(row)


def test_without_triton_its_kernels_are_not_checked_and_the_others_are(monkeypatch):
    monkeypatch.setattr(oracle, "find_spec", lambda name: None)
    rows = {row["run"]: row["outcome"] for row in oracle.rows_of_all(CPU, 20, 16)}
    assert (
        rows.pop("Triton attention") == rows.pop("Triton RMSNorm") == "not checked: Triton is not installed"
    )
    assert set(rows.values()) == {"right"}


def test_triton_imported_for_a_gpu_is_refused(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setitem(oracle.sys.modules, "triton", object())
    with pytest.raises(ConfigError, match="process of its own"):
        oracle.choose_interpreter(CPU)
