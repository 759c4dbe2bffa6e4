"""Holding runs on several ranks against one on a single rank: only the same training can be compared."""

import json

import pytest

from a2_systems.configs import CompareTraining
from a2_systems.run.compare_training import main
from shared.errors import ConfigError
from shared.store.artifacts import Store
from shared.store.kinds import write_run_log


def test_another_training_is_refused_with_what_differs(tmp_path):
    store = Store(tmp_path / "artifacts")
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"step": 1, "loss_nats": 5.0}) + "\n")
    for name, impl in (("one", "reference"), ("two", "learner")):
        settings = {"impl": impl, "strategy": name, "steps": 4}
        with store.draft("RunLog", config=settings, parents={}, name=name) as draft:
            write_run_log(draft, log, settings)
    with pytest.raises(
        ConfigError, match=r"impl is 'reference' there, 'learner' here; train one of them again"
    ):
        main(CompareTraining(logs=("one", "two"), store=store.root))
