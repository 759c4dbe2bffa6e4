"""What the GPU lane does without a GPU: counts, tables, verdicts, and saying that nothing was checked."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import triton

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
from a2_systems.gpu.training import GPT2_124M, training_verdict
from shared.accounting import parameters

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


def test_whatever_breaks_a_contestant_is_its_row_and_nobody_elses() -> None:
    """Triton's refusals are no RuntimeErrors, and memory may run out after the first calls."""
    left = [4]

    def too_large() -> None:
        raise triton.OutOfResources(300_000, 232_448, "shared memory")

    def later() -> None:
        left[0] -= 1
        if not left[0]:
            raise torch.OutOfMemoryError("no room")

    def spend(call) -> float:  # type: ignore[no-untyped-def]
        call()
        return 1.0

    results = interleaved({"a": too_large, "b": later, "c": lambda: None}, 5, spend)
    assert results["a"].startswith("OutOfResources: out of resource: shared memory")
    assert results["b"] == "OutOfMemoryError: no room"
    assert results["c"] == (1.0,) * 5


def test_a_failed_check_leaves_the_others_and_what_was_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, seen = tmp_path / "out.json", []

    def breaks() -> dict[str, object]:
        raise triton.OutOfResources(300_000, 232_448, "shared memory")

    def works() -> dict[str, object]:
        seen.append(json.loads(out.read_text()))
        return {"case": "second", "ok": True, "error": 0.0, "plain": 0.0}

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a device")
    monkeypatch.setattr(test, "checks", lambda: [("first", breaks), ("second", works)])
    assert test.main(["--out", str(out)]) == 1
    assert [row["case"] for row in seen[0]["rows"]] == ["first"]
    assert seen[0]["outcome"] == "stopped halfway"
    found = json.loads(out.read_text())
    assert found["outcome"] == "failed"
    assert [row["ok"] for row in found["rows"]] == [False, True]
    assert "OutOfResources" in capsys.readouterr().out


def test_grouped_queries_are_benched_and_written_apart() -> None:
    grouped = [shape for shape in bench_shapes() if shape.group > 1]
    assert [str(shape) for shape in grouped] == ["2 x 32:8 x 8,192 x 128"]
    assert attention_flops(grouped[0], True) == attention_flops(replace(grouped[0], group=1), True)


TINY_STEP = """
import json, sys, time
sys.path.insert(0, ROOT)
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
import torch
from a2_systems.gpu.training import Step, training_line, training_rows, training_verdict
from shared.doors.protocols import ModelConfig
def milliseconds_of(call):
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)
tiny = Step(ModelConfig(64, context_length=16, d_model=32, num_layers=2, num_heads=2, d_ff=64), 2, 2)
rows = training_rows(tiny, torch.device("cpu"), 2, milliseconds_of, names=("ours, eager",))
print(json.dumps([rows, training_line(rows[0]), str(training_verdict(rows))]))
"""


def test_a_tiny_training_step_runs_where_only_the_gpu_machines_packages_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}  # type: ignore[index]
    refused = declared - GPU_MACHINE_HAS - {"filelock"}  # torch's own
    assert "regex" in refused
    program = f"ROOT, REFUSED = {str(ROOT)!r}, {sorted(refused)!r}" + TINY_STEP
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    rows, line, verdict = json.loads(run.stdout.splitlines()[-1])
    assert "reason" not in rows[0], rows
    # 64 tokens a step; FLOPs of a step over its time and the peak: by hand, 3 passes of 2 per weight and score
    weights = 2 * (4 * 32 * 32 + 3 * 32 * 64) + 64 * 32
    flops = 3 * 64 * (2 * weights + 2 * 4 * 16 * 32)
    seconds = rows[0]["milliseconds"] / 1e3
    assert rows[0]["tokens_per_second"] == pytest.approx(64 / seconds)
    assert rows[0]["mfu_fraction"] == pytest.approx(flops / seconds / rows[0]["peak_flops_per_second"])
    assert "tokens/s" in line
    assert "MISSED" in verdict


def test_the_training_target_is_met_by_our_best_and_not_by_torch() -> None:
    row = {"work": "training step", "milliseconds": 1.0, "tokens_per_second": 1.0}
    slow, fast, torchs = (
        {**row, "contestant": name, "mfu_fraction": fraction}
        for name, fraction in (
            (f"{OURS}, eager", 0.39),
            (f"{OURS}, compiled", 0.41),
            ("torch, compiled", 0.5),
        )
    )
    assert training_verdict([slow, fast, torchs]).is_met is True
    assert training_verdict([slow, torchs]).is_met is False
    assert training_verdict([torchs, {"contestant": f"{OURS}, eager", "reason": "x"}]).is_met is None


def test_the_step_has_the_size_that_it_is_named_after() -> None:
    # the table serves as the last matrix too; no positions are learned
    assert round(parameters(replace(GPT2_124M, tied_embeddings=True)).total / 1e6) == 124


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
    # what `shared` imports is seen above, where a step runs without the other packages
    assert outside - set(sys.stdlib_module_names) - {"shared"} <= GPU_MACHINE_HAS
    assert "a2_systems.kernels.flash_triton_backward" in known
