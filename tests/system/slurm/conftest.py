"""A cluster for each module of these tests, in a directory of its own."""

import os
from pathlib import Path

import pytest

from tests.system.slurm.cluster import virtual_cluster

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    before = dict(os.environ)
    with virtual_cluster(tmp_path_factory.mktemp("slurm")) as running:
        os.environ.update(running.environment)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.environ["OMP_NUM_THREADS"] = "1"
        yield running
    os.environ.clear()
    os.environ.update(before)
