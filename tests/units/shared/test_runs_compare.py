"""Comparing runs: only settings that differ are shown, the lowest loss comes first, artifacts count too."""

import math

import pytest

from shared.errors import ConfigError
from shared.runs.compare import CompareConfig, differing_settings, find_runs, main, table_rows
from shared.runs.config import write_json
from shared.runs.runlog import RunLog
from shared.store.artifacts import Store
from shared.store.kinds.records import write_run_log


def write_run(root, name, config, losses, session="finished"):
    run_dir = root / name
    log = RunLog(run_dir / "log.jsonl")
    for step, loss in enumerate(losses, 1):
        log.append(step, {"loss_nats": loss + 0.1, "tokens_per_second": 100.0 if step % 2 else 300.0})
        log.append(step, {"validation_loss_nats": loss})
    log.close()
    write_json(run_dir / "config.json", {"name": name, **config})
    (run_dir / "sessions.jsonl").write_text(f'{{"what": "{session}", "step": 1}}\n')
    return run_dir


@pytest.fixture
def runs(tmp_path):
    root = tmp_path / "runs"
    write_run(root, "low", {"seed": 0, "model": {"d_ff": 8, "heads": 2}}, [4.0, 3.5, 3.6])
    write_run(root, "high", {"seed": 0, "model": {"d_ff": 16, "heads": 2}}, [5.0, 4.5], "stopped")
    return root


def test_the_table_shows_what_differs_and_ranks_by_best_loss(runs, tmp_path):
    found = find_runs(runs, tmp_path / "none")
    assert differing_settings(found) == ["model.d_ff"]
    assert table_rows(found) == [
        ["low", "3", "held-out", "3.6000", "3.5000", "129", "finished", "model.d_ff=8"],
        ["high", "2", "held-out", "4.5000", "4.5000", "150", "stopped", "model.d_ff=16"],
    ]


def test_a_run_without_evaluation_is_judged_by_training_loss_and_one_without_loss_comes_last(runs, tmp_path):
    log = RunLog(runs / "young" / "log.jsonl")
    log.append(1, {"loss_nats": 1.0})
    log.append(2, {"loss_nats": math.nan, "event": "diverged"})
    log.close()
    RunLog(runs / "empty" / "log.jsonl").close()
    rows = table_rows(find_runs(runs, tmp_path / "none"))
    assert [row[0] for row in rows] == ["young", "low", "high", "empty"]
    assert rows[0][2:7] == ["training", "1.0000", "1.0000", "-", "unfinished"]
    assert rows[3][3:7] == ["-", "-", "-", "unfinished"]


def test_published_logs_are_shown_once(runs, tmp_path):
    store = Store(tmp_path / "artifacts")
    for name, kept in (("low", True), ("old", False)):
        run_dir = write_run(
            runs, name, {"seed": 0, "model": {"d_ff": 8, "heads": 2}}, [4.0, 3.5, 3.6 if kept else 3.7]
        )
        with store.draft("RunLog", config={}, parents={}, name=name) as draft:
            write_run_log(
                draft, run_dir / "log.jsonl", {"name": name, "seed": 0, "model": {"d_ff": 8, "heads": 2}}
            )
        if not kept:
            for file in run_dir.iterdir():
                file.unlink()
    found = find_runs(runs, tmp_path / "artifacts")
    assert sorted((run.name, run.state) for run in found) == [
        ("high", "stopped"),
        ("low", "finished"),
        ("old", "published"),
    ]


def test_main_prints_a_table_and_draws_curves(runs, tmp_path, capsys):
    picture = tmp_path / "pictures" / "curves.png"
    main(CompareConfig(runs=runs, store=tmp_path / "none", picture=picture))
    said = capsys.readouterr().out
    assert "low" in said
    assert "d_ff" in said
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.with_suffix(".svg").exists()


def test_runs_without_a_finite_loss_give_a_table_and_no_picture(tmp_path, capsys):
    log = RunLog(tmp_path / "runs" / "young" / "log.jsonl")
    log.append(1, {"loss_nats": math.nan})
    log.close()
    main(CompareConfig(runs=tmp_path / "runs", store=tmp_path / "none", picture=tmp_path / "curves.png"))
    assert "no curves" in capsys.readouterr().out
    assert not (tmp_path / "curves.png").exists()


def test_only_narrows_and_nothing_found_says_what_to_do(runs, tmp_path, capsys):
    picture = tmp_path / "curves.png"
    main(CompareConfig(runs=runs, store=tmp_path / "none", only=("hi",), picture=picture))
    assert "low" not in capsys.readouterr().out.replace("lowest", "")
    with pytest.raises(ConfigError, match="nobody"):
        main(CompareConfig(runs=runs, store=tmp_path / "none", only=("nobody",), picture=picture))
    with pytest.raises(ConfigError, match="make toy"):
        main(CompareConfig(runs=tmp_path / "none", store=tmp_path / "none", picture=picture))
