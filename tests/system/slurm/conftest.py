"""A cluster for each module of these tests, in a directory of its own, and a job that fits it."""

import os
from pathlib import Path

import pytest

from shared.runs.launch import Launch
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


@pytest.fixture
def how(cluster, tmp_path):
    """A small job; the virtual nodes have two cores each."""
    yield Launch("slurm", memory_gb=1.5, cores=1, minutes=15, grace_seconds=120, folder=tmp_path / "launch")
    cluster.run("scancel", "--state=PENDING", "--state=RUNNING", f"--user={os.getuid()}")
