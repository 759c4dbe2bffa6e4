"""kill -9 of the whole `train_lm`, publishing included: resumed, nothing differs from an undisturbed run.

A handful of moments here; `make torture` takes thirty.
"""

import os
import random
import shutil
import signal

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="not checked: this platform cannot fork")

train_lm_child = pytest.importorskip("tests.system.train_lm_child")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    train_lm_child.prepare(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(prepared, folder)
    ended = train_lm_child.train(folder)
    assert ended.status == 0
    return ended, train_lm_child.outcome(folder)


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_at_any_operation_changes_nothing(prepared, undisturbed, tmp_path, seed):
    ended, whole = undisturbed
    moment = random.Random(seed).randrange(ended.operations)
    folder = tmp_path / "run"
    shutil.copytree(prepared, folder)
    killed = train_lm_child.train(folder, kill_at=moment)
    assert killed.status == -signal.SIGKILL
    assert train_lm_child.train(folder).status == 0
    differ = train_lm_child.differences(whole, train_lm_child.outcome(folder))
    assert differ == [], f"after a kill at operation {moment} of {ended.operations}"
