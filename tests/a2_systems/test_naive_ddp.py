"""Data parallelism after the backward pass: equal starts, mean gradients, nobody left waiting."""

import pytest

from tests.a2_systems.replicas import (
    Door,
    check_accumulation,
    check_bfloat16,
    check_forward,
    check_start,
    check_training,
    check_unused,
)


def door(adapters) -> Door:
    return Door(adapters.get_naive_ddp, adapters.naive_ddp_on_after_backward)


def test_every_rank_begins_as_rank_zero(adapters):
    check_start(door(adapters))


def test_the_forward_pass_is_the_modules(adapters):
    check_forward(door(adapters))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_steps_are_those_of_one_process(adapters, ranks, optimizer):
    check_training(door(adapters), ranks, optimizer)


def test_parameters_that_a_batch_does_not_use(adapters):
    check_unused(door(adapters))


def test_gradients_that_add_up(adapters):
    check_accumulation(door(adapters))


def test_bfloat16(adapters):
    check_bfloat16(door(adapters))
