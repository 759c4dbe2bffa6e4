"""Random numbers that depend on a seed and a step alone: the same before and after a restart, and on every rank."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int, step: int) -> Iterator[None]:
    """Draw from generators that depend on the seed and the step alone, whatever library the drawing code uses.

    Batch number 1000 is then the same whether or not the run was interrupted before it. The generators' own states
    come back afterwards, so that dropout, for one, goes on undisturbed.
    """
    mixed = int(np.random.SeedSequence((seed, step)).generate_state(1)[0])
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        random.seed(mixed)
        np.random.seed(mixed)  # noqa: NPY002 - learners' get_batch may draw from numpy's global generator
        torch.manual_seed(mixed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
