"""The programs of measuring and planning, from a config to what they publish and print."""

import dataclasses

from a2_systems.configs import MEASURE_STEP, PLAN, TINY
from a2_systems.run import measure_step, plan
from shared.report import measure as page
from shared.store.artifacts import Store
from shared.store.kinds import read_report, read_runs


def test_a_step_is_measured_published_and_shown(tmp_path, capsys):
    config = dataclasses.replace(
        MEASURE_STEP["tiny"],
        models=(("nano", TINY),),
        seqs=(8, 16, 10_000),  # the last is beyond the model's context
        warmups=1,
        repeats=2,
        precision="float32",
        store=tmp_path,
    )
    measure_step.main(config)
    rows, curves = read_runs(Store(tmp_path).open("measure-step-tiny", "Runs"))
    steps = [row for row in rows if "step_flops" in row]
    assert [row["run"] for row in steps] == ["nano, 8", "nano, 16"]
    for row in steps:
        assert row["kept_memory_bytes"] == row["predicted_activations_bytes"]
        assert row["step_seconds"] > 0
        assert (
            sum(row[f"at_peak_{category}_memory_bytes"] for category in page.CATEGORIES)
            == row["peak_memory_bytes"]
        )
        assert row["at_peak_optimizer_memory_bytes"] >= row["predicted_optimizer_bytes"]
        assert {event["phase"] for event in curves[row["run"]]} >= set(page.PHASES)
    page.main(page.MeasurePage(runs="measure-step-tiny", store=tmp_path))
    text = read_report(Store(tmp_path).open("measure", "Report")).read_text()
    for heading in ("Time", "Memory", "Operators", "Roofline", "What sums lose"):
        assert f"<h2>{heading}</h2>" in text
    assert "nano, 16" in capsys.readouterr().out


def test_a_plan_names_a_layout_for_every_number_of_gpus(capsys):
    plan.main(dataclasses.replace(PLAN["one_gpu"], gpus=(1, 8, 3)))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["1", "8", "3"]
    assert "1 x 1 x 1" in lines[2]
    assert "no layout divides" in lines[4]
    plan.main(dataclasses.replace(PLAN["one_gpu"], gpus=(2,), memory_gb=0.001))
    assert "does not fit" in capsys.readouterr().out
