"""The Triton kernels in Triton's interpreter, against float64 and against SDPA's own error."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from triton import OutOfResources

from a2_systems.gpu.cases import Case, errors_of, gpu_cases
from a2_systems.kernels.flash_triton import TritonFlashAttention, document_bounds
from a2_systems.kernels.flash_triton_tiles import Tiles, candidates, launch

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def interpreted() -> dict[str, Any]:
    """Everything that the interpreter says, from one process: the mode is chosen for a whole process."""
    run = subprocess.run(
        [sys.executable, Path(__file__).with_name("interpreted_kernels.py")],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_attention_errs_at_most_twice_as_much_as_sdpa(interpreted: dict[str, Any]) -> None:
    rows = interpreted["attention"]
    assert len(rows) == 9
    assert [row for row in rows if not row["ok"]] == []


@pytest.mark.parametrize("case", [0, 4, 7])
def test_the_same_input_gives_the_same_bits(interpreted: dict[str, Any], case: int) -> None:
    # float32, with documents, in float16: each computed twice
    assert interpreted["attention"][case]["repeats"]


def test_one_number_for_each_query_is_kept(interpreted: dict[str, Any]) -> None:
    shapes = interpreted["saved"]
    assert shapes.count([2, 20]) == 1
    assert all(len(shape) == 3 for shape in shapes if shape != [2, 20])


def test_the_number_is_the_natural_log_sum_exp(interpreted: dict[str, Any]) -> None:
    # log2 times ln 2, in float32: a few roundings of numbers below ten
    assert interpreted["log_sum_exp_error"] < 1e-5


def test_tiles_behind_the_mask_are_never_read(interpreted: dict[str, Any]) -> None:
    # what lies there was no number: reading one spoils a whole row
    assert len(interpreted["reads"]) == 8
    assert {name for name, holds in interpreted["reads"].items() if not holds} == set()


def test_a_causal_mask_is_computed_on_the_diagonal_alone(interpreted: dict[str, Any]) -> None:
    # runs of tiles: cut by beginnings from start to whole, seen whole from there to cut, cut by ends to stop
    assert interpreted["masks"]["keys_of_queries"] == [[0, 0, 0, 16], [0, 0, 16, 32], [0, 0, 32, 48]]
    assert interpreted["masks"]["queries_of_keys"] == [[0, 16, 48, 48], [16, 32, 48, 48], [32, 48, 48, 48]]


@pytest.mark.parametrize("name", ["long queries", "odd group", "two dtypes", "wide head"])
def test_what_cannot_be_served_is_refused(interpreted: dict[str, Any], name: str) -> None:
    said = interpreted["refusals"][name]
    assert "got" in said
    assert "wanted" in said


def test_rms_norm_matches_float64(interpreted: dict[str, Any]) -> None:
    # float32 sums of 40 terms; half precision is rounded once, by half of 2^-8 of numbers below eight
    for name, error in interpreted["rms_norm"].items():
        assert error < (0.02 if "bfloat16" in name else 2e-6), name


def test_the_loss_by_its_kernel_matches_float64(interpreted: dict[str, Any]) -> None:
    # a few roundings of logits, of their gradient and of its products: each by half a unit of the format
    limits = {"float32": 2e-6, "float16": 4e-3, "bfloat16": 3e-2}
    assert len(interpreted["losses"]) == 15
    for name, error in interpreted["losses"].items():
        assert error < limits[name.split()[1].removeprefix("torch.")], name


def test_the_loss_kernel_writes_the_gradient_over_the_logits_and_nothing_else(
    interpreted: dict[str, Any],
) -> None:
    assert {name for name, holds in interpreted["loss_alone"].items() if not holds} == set()


def test_a_cpu_tensor_needs_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a2_systems.kernels.flash_triton.INTERPRETED", False)
    q = torch.zeros(1, 16, 16)
    with pytest.raises(ValueError, match="TRITON_INTERPRET=1"):
        TritonFlashAttention.apply(q, q, q)


def test_documents_are_runs_of_equal_ids() -> None:
    assert document_bounds(torch.tensor([[7, 7, 3, 7, 7]])).tolist() == [[[0, 0, 2, 3, 3]], [[2, 2, 3, 5, 5]]]


def test_every_tile_is_a_power_of_two_that_a_dot_takes() -> None:
    for head_dim in range(1, 257):
        for kernel in ("forward", "backward"):
            for element_bytes in (2, 4):
                for tiles in candidates(kernel, head_dim, element_bytes):
                    for size in (tiles.rows, tiles.columns):
                        assert size >= 16
                        assert size & (size - 1) == 0


def test_tiles_that_the_device_cannot_hold_are_passed_over_in_the_order_of_the_table() -> None:
    class Kernel:
        """Stands for a kernel on a device that holds tiles of at most so many numbers."""

        def __init__(self, room: int) -> None:
            self.room, self.ran = room, []

        def __getitem__(self, grid: tuple[int]):
            def run(ROWS: int, COLUMNS: int, num_warps: int, num_stages: int) -> None:
                if self.room < ROWS * COLUMNS:
                    raise OutOfResources(ROWS * COLUMNS, self.room, "shared memory")
                self.ran.append((grid, ROWS, COLUMNS, num_warps, num_stages))

            return run

    table = (Tiles(128, 64, 8, 3), Tiles(64, 32, 4, 2), Tiles(32, 16, 1, 1))
    for room, wanted in (
        (10_000, (6, 128, 64, 8, 3)),
        (4_096, (12, 64, 32, 4, 2)),
        (512, (21, 32, 16, 1, 1)),
    ):
        kernel = Kernel(room)
        launch(kernel, table, 200, 3)
        launch(kernel, table, 200, 3)
        assert kernel.ran == [((wanted[0],), *wanted[1:])] * 2
    with pytest.raises(OutOfResources):
        launch(Kernel(100), table, 200, 3)


def test_gpu_cases_have_names_of_their_own_and_reach_every_property() -> None:
    cases = gpu_cases()
    assert len({case.name for case in cases}) == len(cases)
    assert {case.dtype for case in cases} == {"float16", "bfloat16", "float32"}
    assert {16, 80, 256} <= {case.head_dim for case in cases}
    assert any(case.kv_heads < case.heads and case.has_documents for case in cases)
    assert any(case.q_len < case.k_len and case.is_causal for case in cases)


def test_a_wrong_kernel_is_told_from_a_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from a2_systems.gpu import cases

    class NoMask:
        @staticmethod
        def apply(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_: object) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    monkeypatch.setattr(cases, "TritonFlashAttention", NoMask)
    base = Case(16, 20, 20, "float32", heads=1, kv_heads=1)
    assert not errors_of(base, "cpu")["ok"]
    assert errors_of(Case(16, 20, 20, "float32", is_causal=False, heads=1, kv_heads=1), "cpu")["ok"]
