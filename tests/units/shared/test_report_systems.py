"""The page of stage 2: it holds what its Runs say, and what a machine took is no part of what it is."""

import pytest

from shared.report import roofline, systems
from shared.report.roofline import Point, draw_roofline
from shared.store.artifacts import Store
from shared.store.kinds import read_report, write_runs

KERNELS = [
    {"run": "attention by tiles: causal", "outcome": "right", "repeats": True, "outputs": ["O", "dQ", "dK"],
     "errors": [1e-7, 2e-7, 3e-7], "bounds": [2e-7, 9e-7, 4e-7]},
    {"run": "Triton RMSNorm", "outcome": "not checked: Triton is not installed"},
]  # fmt: skip


def runs(store, name, rows, curves=None, **config):
    with store.draft("Runs", config=config, parents={}, name=name) as draft:
        write_runs(draft, rows, curves or {})


def page(folder, tokens_per_second=1234.0):
    """The Report of a comparison, of kernels and of strategies, some of it measured."""
    store = Store(folder)
    curves = {
        name: [
            {"step": step, "loss_nats": 5.0 - step + apart, "tokens_per_second": tokens_per_second,
             "exposed_seconds": 0.01, "step_seconds": 0.1}
            for step in (1, 2, 3)
        ]
        for name, apart in (("one", 0.0), ("two", 2e-6))
    }  # fmt: skip
    training = [
        {"run": name, "strategy": strategy, "losses_compared": 3, "largest_difference_nats": apart,
         "validation_loss_nats": 4.5}
        for name, strategy, apart in (("one", "single", 0.0), ("two", "fsdp", 2e-6))
    ]  # fmt: skip
    runs(store, "ranks", training, curves, tolerance_nats=1e-3)
    runs(store, "kernels", KERNELS)
    spread = {"run": "zero1", "ranks": 2, "batch_size": 4, "parameters": 58_000, "step_seconds": 0.1,
              "tokens_per_second": 8765.0, "exposed_seconds": 0.02,
              "ranks_peak_memory_bytes": [3000, 5000]}  # fmt: skip
    spread |= {
        f"ranks_at_peak_{category}_memory_bytes": [1000, 1250]
        for category in ("parameters", "gradients", "optimizer", "activations")
    }
    runs(store, "strategies", [spread])
    config = systems.SystemsPage(
        training="ranks", kernels="kernels", strategies="strategies", name="page", store=folder
    )
    systems.main(config)
    return store.open("page", "Report")


def test_the_page_shows_what_was_found(tmp_path):
    report = page(tmp_path)
    text = read_report(report).read_text(encoding="utf-8")
    for heading in ("Two ranks = one rank", "Kernels against the oracle", "Ways of spreading"):
        assert f"<h2>{heading}</h2>" in text
    assert "What would fit" not in text
    assert "no loss is further than 2.0e-06 nats apart" in text
    assert "1 of 1 cases" in text
    assert "dK 3.0e-07" in text  # nearer to its bound than dQ
    assert "not checked: Triton is not installed" in text
    assert "8,765" not in text
    costs = report.file("measured/cost.js").read_text(encoding="utf-8")
    for measured in ("1,234", "10%", "8,765", "20%", "5 kB", "1.25 kB"):
        assert f'"{measured}"' in costs


def test_the_same_work_on_another_day_is_the_same_page(tmp_path):
    assert page(tmp_path / "one").digest == page(tmp_path / "two", tokens_per_second=99.0).digest


POINTS = [("residual sum", 0.083, 3.2e9), ("RMSNorm", 0.5, 4e9), ("softmax", 0.62, 2.1e9),
          ("one token's product", 0.5, 9.5e9), ("feed-forward product", 176.0, 120e9)]  # fmt: skip


@pytest.mark.parametrize("width", [7.2, 4.2])
@pytest.mark.parametrize(("flops", "speed"), [(178e9, 17e9), (2e12, 30e9), (1e15, 3e12)])
def test_no_label_of_the_roofline_lies_on_the_roof_or_on_another(tmp_path, monkeypatch, width, flops, speed):
    drawn = []
    monkeypatch.setattr(roofline, "save", lambda figure, path: drawn.append(figure) or path)
    scale = flops / 178e9
    points = [Point(name, intensity, rate * scale, 0.5) for name, intensity, rate in POINTS]
    draw_roofline(tmp_path / "roof.png", flops, speed, points, width_inches=width)
    [figure] = drawn
    figure.draw_without_rendering()
    [axes] = figure.axes
    roof = axes.lines[0].get_transform().transform_path(axes.lines[0].get_path())
    upright = [text.get_window_extent() for text in axes.texts if text.get_rotation() == 0]
    assert len(upright) == len(POINTS) + 1  # the product's roof; the copy's is written along its slope
    for index, box in enumerate(upright):
        assert not roof.intersects_bbox(box, filled=False)
        assert not any(box.overlaps(other) for other in upright[index + 1 :])
        assert figure.bbox.x1 >= box.x1
