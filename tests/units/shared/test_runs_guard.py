"""The divergence guard by itself: what is a spike, what is not, and that its memory survives a restart."""

import json
import math
import random

import pytest

from shared.errors import DivergenceError
from shared.runs.guard import Guard, Watch

GUARD = Guard(window_steps=10, rise=1.0, patience_steps=5)


def test_a_slow_climb_is_a_lasting_spike_too():
    watch = Watch(GUARD)

    def climb():
        for step in range(1000):
            watch.look(step, {"loss_nats": 3.0 + 0.01 * step})

    with pytest.raises(DivergenceError, match="steps in a row"):
        climb()


def test_spiking_losses_do_not_enter_the_window():
    watch = Watch(GUARD)
    for step in range(20):
        watch.look(step, {"loss_nats": 9.0 if step in (12, 13) else 3.0})
    assert watch.recent == [3.0] * 10


def test_descent_and_noise_within_the_scatter_are_no_spikes():
    watch, noise = Watch(GUARD), random.Random(0)
    for step in range(2000):
        event = watch.look(step, {"loss_nats": 2.0 + 8.0 * 0.99**step + noise.gauss(0, 0.2)})
        assert event is None


def test_the_guard_can_be_asked_for_finite_numbers_only_or_switched_off():
    finite_only, off = Watch(Guard(patience_steps=0)), Watch(None)
    for step in range(500):
        assert finite_only.look(step, {"loss_nats": 3.0 if step < 100 else 99.0}) is None
        assert off.look(step, {"loss_nats": math.nan}) is None
    with pytest.raises(DivergenceError):
        finite_only.look(501, {"loss_nats": math.nan})


def test_the_memory_of_a_guard_survives_json():
    watch, copy = Watch(GUARD), None
    for step in range(60):
        loss = 3.0 if step % 17 else 8.0
        if step == 30:
            copy = Watch(GUARD, json.loads(json.dumps(watch.memory())))
        first = watch.look(step, {"loss_nats": loss})
        if copy is not None:
            assert copy.look(step, {"loss_nats": loss}) == first
    assert copy is not None
    assert copy.memory() == watch.memory()
