"""What the GPU lane does without a GPU: counts, tables, verdicts, and saying that nothing was checked."""

import ast
import json
import sys
from pathlib import Path

import pytest
import torch

from a2_systems.gpu import bench, test
from a2_systems.gpu.targets import (
    FLASH,
    OURS,
    RECORD,
    Shape,
    Timing,
    attention_flops,
    bench_shapes,
    interleaved,
    table,
    verdicts,
)

ROOT = Path(__file__).resolve().parents[3]
GPU_MACHINE_HAS = {"torch", "triton", "numpy", "einops", "jaxtyping"}


def timing(shape: Shape, contestant: str, median: float) -> Timing:
    return Timing(shape, True, contestant, (median * 0.9, median, median * 1.1))


def test_flops_are_counted_score_by_score() -> None:
    shape = Shape(2, 3, 5, 16)
    seen = sum(1 for q in range(5) for k in range(5) if k <= q)
    assert attention_flops(shape, False) == 2 * 3 * seen * 16 * 2 * 2
    assert attention_flops(shape, True) == attention_flops(shape, False) * 7 // 2


def test_the_rate_is_flops_over_the_median() -> None:
    shape = Shape(1, 1, 1_000, 100, is_causal=False)
    # 14 * 10^8 operations in 0.5 ms
    assert timing(shape, OURS, 0.5).tflops_per_second == pytest.approx(14e8 / 0.5e-3 / 1e12)


def test_every_target_has_a_verdict_and_a_near_miss_is_a_miss() -> None:
    timings = [timing(shape, name, 4.0) for shape in bench_shapes() for name in (OURS, FLASH)]
    assert [v.is_met for v in verdicts(timings, is_hopper=True)] == [
        True
    ] * 8  # 2 heads x 3 lengths, the record twice
    slow = next(shape for shape in bench_shapes() if shape.head_dim == 128 and shape.length == 8_192)
    timings = [timing(slow, OURS, 4.01) if t.shape == slow and t.contestant == OURS else t for t in timings]
    missed = [v for v in verdicts(timings, is_hopper=True) if not v.is_met]
    assert [v.target.split(",")[0] for v in missed] == [str(slow).split(",")[0]]
    assert "MISSED" in str(missed[0])


def test_the_records_time_binds_only_on_its_gpu() -> None:
    timings = [timing(RECORD, OURS, 8.1)]
    assert [v.is_met for v in verdicts(timings, is_hopper=True)][-1] is False
    assert [v.is_met for v in verdicts(timings, is_hopper=False)][-1] is None
    assert [v.is_met for v in verdicts([timing(RECORD, OURS, 7.9)], is_hopper=True)][-1] is True


def test_nothing_measured_is_nothing_met() -> None:
    assert {v.is_met for v in verdicts([], is_hopper=True)} == {None}


def test_the_table_names_who_could_not_run_and_why() -> None:
    shape = Shape(1, 2, 4_096, 64)
    text = table(
        [timing(shape, FLASH, 2.0), timing(shape, OURS, 1.0), Timing(shape, True, "eager", (), "too large")]
    )
    assert "2.00x" in text
    assert "not checked: too large" in text


def test_contestants_take_turns_and_a_broken_one_is_left_out() -> None:
    calls: list[str] = []

    def broken() -> None:
        raise RuntimeError("no such backend\nand more")

    def spend(call) -> float:  # type: ignore[no-untyped-def]
        call()
        return float(len(calls))

    contestants = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b"), "c": broken}
    results = interleaved(contestants, 3, spend)
    assert calls == list("aabb") + list("ab") + list("ba") + list("ab")
    assert results["c"] == "RuntimeError: no such backend"
    assert results["a"] == (5.0, 8.0, 9.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="not checked: this is about a machine without a GPU")
@pytest.mark.parametrize("program", [test, bench])
def test_without_a_gpu_nothing_is_said_to_pass(
    program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "deep" / "out.json"
    assert program.main(["--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("not checked: no CUDA device\n")
    assert "pass" not in said
    assert json.loads(out.read_text())["outcome"] == "not checked: no CUDA device"


def test_the_lane_imports_only_what_a_gpu_machine_has() -> None:
    """Walks the imports of both programs through the stage's own modules, `__init__` files included."""
    waiting, known, outside = ["a2_systems.gpu.test", "a2_systems.gpu.bench"], set(), set()
    while waiting:
        name = waiting.pop()
        if name in known:
            continue
        known.add(name)
        if not name.startswith("a2_systems"):
            outside.add(name.partition(".")[0])
            continue
        path = ROOT.joinpath(*name.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        waiting += [name.rpartition(".")[0]] if "." in name else []
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                waiting.append(node.module or "")
    assert outside - set(sys.stdlib_module_names) <= GPU_MACHINE_HAS
    assert "a2_systems.kernels.flash_triton_backward" in known
