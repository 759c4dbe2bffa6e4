"""The attention and compile tables: what is kept is what was predicted, and what cannot be had is a row."""

import dataclasses
from functools import partial

import pytest
import torch

from a2_systems.configs import MEASURE_ATTENTION, MEASURE_COMPILE, TINY
from a2_systems.measure import attention
from a2_systems.measure.attention import SDPA, WRITTEN_OUT, Shape, implementations, measured
from a2_systems.measure.timer import time_phases
from a2_systems.run import measure_attention, measure_compile
from shared.store.artifacts import Store
from shared.store.kinds import read_runs

CPU = torch.device("cpu")
PLENTY = 2**30


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("seq", [1, 33, 64])
def test_what_is_kept_for_backward_is_what_the_shape_says(seq, is_causal, dtype):
    shape = Shape(2, 3, seq, 16, dtype, is_causal)
    for name, function in implementations(is_causal, CPU).items():
        row = measured(name, function, shape, CPU, warmups=0, repeats=1, memory_bytes=PLENTY)
        assert row["kept_memory_bytes"] == row["predicted_kept_bytes"], name


def test_only_the_written_out_one_grows_with_the_square_of_the_length():
    short, long = Shape(1, 1, 1024, 64), Shape(1, 1, 2048, 64)
    growth = {
        name: attention.predicted_kept_bytes(name, long) / attention.predicted_kept_bytes(name, short)
        for name in implementations(True, CPU)
    }
    assert growth.pop(WRITTEN_OUT) > 3.5
    assert all(each == 2 for each in growth.values())


def test_the_kernel_behind_torchs_attention_is_named():
    rows = [
        measured(name, function, Shape(1, 1, 8, 16), CPU, warmups=0, repeats=1, memory_bytes=PLENTY)
        for name, function in implementations(True, CPU).items()
    ]
    assert {row["attention"]: row["backend"] for row in rows if row["backend"]} == {SDPA: "FLASH"}


def test_too_little_memory_is_a_row_and_other_errors_are_errors():
    shape = Shape(1, 1, 64, 16)
    run = partial(measured, WRITTEN_OUT, shape=shape, device=CPU, warmups=0, repeats=1)

    def refused(error):
        def attend(q, k, v):
            raise error

        return attend

    least = attention.predicted_peak_bytes(WRITTEN_OUT, shape)
    assert (
        run(refused(AssertionError("not to be called")), memory_bytes=least - 1)["outcome"] == "out of memory"
    )
    on_gpu, on_cpu = (
        torch.OutOfMemoryError("CUDA"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    )
    for error in (on_gpu, on_cpu):
        row = run(refused(error), memory_bytes=PLENTY)
        assert row["outcome"] == "out of memory"
        assert "forward_seconds" not in row
    with pytest.raises(RuntimeError, match="another"):
        run(refused(RuntimeError("another")), memory_bytes=PLENTY)


def test_phases_are_timed_one_after_the_other():
    now, log = [0.0], []

    def work(name, seconds):
        log.append(name)
        now[0] += seconds

    phases = {"forward": partial(work, "forward", 2.0), "backward": partial(work, "backward", 5.0)}
    found = time_phases(phases, device=CPU, warmups=1, repeats=2, clock=lambda: now[0])
    assert {name: timing.seconds for name, timing in found.items()} == {
        "forward": (2.0, 2.0),
        "backward": (5.0, 5.0),
    }
    assert log == ["forward", "backward"] * 3


def test_a_table_is_measured_once_for_each_take(tmp_path, capsys):
    config = dataclasses.replace(
        MEASURE_ATTENTION["tiny"],
        head_dims=(16,),
        seqs=(8, 512),
        warmups=0,
        repeats=1,
        memory_gb=5e-3,
        store=tmp_path,
    )
    measure_attention.main(config)
    rows, _ = read_runs(Store(tmp_path).open(config.name, "Runs"))
    outcomes = {row["run"]: row["outcome"] for row in rows}
    assert outcomes["written out, 16 x 512"] == "out of memory"
    assert outcomes["written out, 16 x 8"] == outcomes["tiles, 16 x 512"] == "measured"
    assert "out of memory" in capsys.readouterr().out
    measure_attention.main(config)
    assert "unchanged" in capsys.readouterr().out
    measure_attention.main(dataclasses.replace(config, take=2))
    assert "unchanged" not in capsys.readouterr().out


def test_compiled_and_not_are_rows_side_by_side(tmp_path, monkeypatch):
    compiled = []

    def recorded(function, **options):
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", recorded)  # the compiler itself takes half a minute
    nano = dataclasses.replace(TINY, context_length=8)
    config = dataclasses.replace(
        MEASURE_COMPILE["tiny"],
        attention=((16, 8),),
        models=(("nano", nano),),
        warmups=1,
        repeats=1,
        store=tmp_path,
    )
    measure_compile.main(config)
    rows, _ = read_runs(Store(tmp_path).open(config.name, "Runs"))
    works = ["attention, 16 x 8", "model nano, 8"]
    assert [row["run"] for row in rows] == [
        f"{work}, {kind}" for work in works for kind in ("as it is", "compiled")
    ]
    assert [("compiling_seconds" in row, "optimizer_seconds" in row) for row in rows] == [
        (False, False),
        (True, False),
        (False, True),
        (True, True),
    ]
    assert len(compiled) == 3  # the probe, the attention, the model


def test_without_a_compiler_the_table_says_not_checked(tmp_path, monkeypatch, capsys):
    def refuses(function, **options):
        raise RuntimeError("no working C++ compiler")

    monkeypatch.setattr(torch, "compile", refuses)
    config = dataclasses.replace(
        MEASURE_COMPILE["tiny"], attention=((16, 8),), warmups=1, repeats=1, store=tmp_path
    )
    measure_compile.main(config)
    rows, _ = read_runs(Store(tmp_path).open(config.name, "Runs"))
    assert rows[0]["outcome"] == "measured"
    assert rows[1]["outcome"].startswith("not checked: ")
    assert "no working C++ compiler" in capsys.readouterr().out
