"""The page of the experiments: every sweep has its section, its reading follows the rows, measurements stay outside."""

import math

import pytest

from shared.report import experiments
from shared.report.experiments import ExperimentsPage, write_experiments
from shared.runs.runlog import VALIDATION_LOSS
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import read_report, write_eval_report, write_runs


def row(name: str, loss: float, **facts):
    status = "finished" if math.isfinite(loss) else "diverged"
    common = {
        "status": status,
        "reason": "step 3 gave loss_nats=nan",
        "steps": 8,
        "train_tokens": 8000,
        "parameters": 9,
        "untrained_loss_nats": 6.0,
    }
    return {
        "run": name,
        **common,
        "validation_loss_nats": loss,
        "seconds": 2.0,
        "tokens_per_second": 5.0,
        **facts,
    }


def save(store: Store, experiment: str, rows: list[dict], rate: float) -> Artifact:
    curves = {
        each["run"]: [
            {"step": step, "loss_nats": 9 / step, VALIDATION_LOSS: 9.5 / step, "step_seconds": rate}
            for step in range(1, 9)
        ]
        for each in rows
    }
    rows = [each | {"seconds": rate} for each in rows]
    with store.draft("Runs", config={"experiment": experiment}, parents={}, name=experiment) as draft:
        write_runs(draft, rows, curves)
    return draft.artifact


def all_sweeps(store: Store, rate: float = 1.0) -> list[str]:
    rates = [
        row(f"rate {value:g}", loss, max_learning_rate=value)
        for value, loss in ((1e-3, 4.0), (1e-2, 3.0), (1.0, math.inf))
    ]
    batches = [
        row(f"batch {size}, {rule}", 3.0 + size / 10, batch_tokens=size, rule=rule)
        for rule in ("one rate", "root rate")
        for size in (1, 4)
    ]
    pairs = [
        row(f"{problem}{end}", loss, problem=problem, model="as it stands", verdict="lost")
        for problem in ("no clipping", "no warm-up")
        for end, loss in (("", math.inf), (", cured", 2.5))
    ]
    sizes = {"non_embedding_parameters": 5, "weight_bytes": 4, "state_bytes": 16, "activation_bytes": 9}
    audit = [row(name, 3.0, sample="<script>x</script> once", **sizes) for name in ("1M", "2M")]
    tables = {
        "learning_rate": rates,
        "batch_size": batches,
        "ablations": [row("the model", 2.5), row("no norm", 2.75), row("post-norm", math.inf)],
        "divergence": pairs,
        "scaling_audit": audit,
        "of_another_kind": [row("one", 2.0)],
    }
    return [save(store, name, rows, rate).digest for name, rows in tables.items()]


@pytest.fixture
def page(tmp_path, capsys):
    store = Store(tmp_path / "artifacts")
    maps = [[[[1.0, 0.0], [0.25, 0.75]]]]
    report = {"tokens": [" a", "$b"], "mask": [[1, 0], [1, 1]], "maps": maps, "largest_change_before": 0.0}
    with store.draft("EvalReport", config={}, parents={}, name="attention") as draft:
        write_eval_report(draft, report)
    config = ExperimentsPage(runs=tuple(all_sweeps(store)), attention="attention", store=store.root)
    experiments.main(config)
    assert "open in a browser" in capsys.readouterr().out
    return read_report(store.open("experiments", "Report"))


def test_every_sweep_has_a_section_that_reads_its_rows(page):
    text = page.read_text(encoding="utf-8")
    for words in (
        "The best rate is 0.01, with 3.000 nats",
        "diverge from 1 on, 100 times that rate",
        "the best batch holds 1 ",
        "no norm +0.250; post-norm diverged",
        "no clipping: lost; no warm-up: lost",
        "diverged: step 3 gave loss_nats=nan; cured, it ends at 2.500",
        "Of another kind",
        "the model is causal",
    ):
        assert words in text
    assert "<script>x</script>" not in text  # samples are foreign text
    assert text.count("<svg") > 12


def test_the_page_does_not_depend_on_measured_times(tmp_path):
    pages = []
    for rate in (1.0, 7.0):
        store = Store(tmp_path / f"artifacts{rate}")
        folder = tmp_path / f"page{rate}"
        folder.mkdir()
        write_experiments(folder, [store.open(digest, "Runs") for digest in all_sweeps(store, rate)], None)
        pages.append(folder)
    slow, fast = ((folder / "index.html").read_bytes() for folder in pages)
    assert slow == fast
    costs = [(folder / "measured" / "cost.js").read_text(encoding="utf-8") for folder in pages]
    assert costs[0] != costs[1]


def rates(*pairs: tuple[float, float]) -> list[dict]:
    return [row(f"rate {rate:g}", loss, max_learning_rate=rate) for rate, loss in pairs]


@pytest.mark.parametrize(
    ("pairs", "said", "unsaid"),
    [
        (((0.1, 4.0), (1.0, math.inf)), "diverge from 1 on, 10 times", "Adam"),
        (((0.1, 3.0), (0.3, 5.5), (1.0, math.inf)), "edge (0.3) a run does not blow up", "lower rates"),
        (((0.1, 3.0), (0.3, 3.1), (1.0, math.inf)), "diverge from 1 on", "Adam"),
        (((0.001, math.inf), (0.1, 3.0)), "lower rates diverged (0.001)", "diverge from"),
        (((0.01, 4.0), (0.1, 3.0)), "No higher rate diverged", "diverge from"),
        (((0.1, math.inf),), "No run of the sweep came to its end", "best"),
    ],
)
def test_the_reading_of_rates_follows_the_rows(pairs, said, unsaid, tmp_path):
    words = experiments.rates_reading(rates(*pairs))
    assert said in words
    assert unsaid not in words


def test_a_small_mask_is_not_blown_up():
    from shared.report.attention_maps import mask_inches
    from shared.report.plots import WIDTH_INCHES

    assert mask_inches(8) < WIDTH_INCHES / 2 < mask_inches(24)


def test_a_model_that_looks_ahead_is_called_so(tmp_path):
    from shared.report.attention_maps import attention_section

    report = {"tokens": ["a"], "mask": [[1]], "maps": [[[[1.0]]]], "largest_change_before": 0.125}
    assert "looks ahead" in attention_section(report, tmp_path)
