"""Gradients that leave during the backward pass, one by one: what they are, when they go, in which order."""

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
from tests.a2_systems.sending import check_goes_on, check_last_layers_first, sent
from tests.harness.explain import expect, expect_equal


def door(adapters) -> Door:
    return Door(adapters.get_ddp, adapters.ddp_on_after_backward)


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


def test_gradients_leave_before_backward_returns(adapters):
    during, after = sent(door(adapters), layers=4)
    expect(
        len([size for size in during if 64 <= size <= 72]) == 4 and max(during) <= 72,
        what="every gradient has been handed to an all-reduce of its own, once, when backward returns",
        why="what leaves only afterwards is waited for with nothing else to do",
        counterexample=f"all-reduces in bytes: {during} during backward, {after} after it",
        case="four layers of 64 bytes; 8 bytes more are allowed in each message",
    )


def test_nothing_is_sent_twice(adapters):
    during, after = sent(door(adapters), layers=4)
    expect(
        sum(during + after) <= 4 * 64 + 64,
        what="all-reduces carry the gradients once, and little else",
        why="bytes are what communication costs",
        counterexample=f"all-reduces in bytes: {during} during backward, {after} after it",
        case="four layers of 64 bytes; a quarter more is allowed for words between the ranks",
    )


def test_backward_goes_on_while_gradients_travel(adapters):
    check_goes_on(door(adapters))


def test_tied_weights_travel_once(adapters):
    during, after = sent(door(adapters), layers=3, is_tied=True)
    expect_equal(
        len([size for size in during + after if size >= 64]),
        2,
        what="a weight that two layers share is sent once, when both have added to it",
        why="sent at its first use, it lacks the gradient of the second",
        case="three layers of 64 bytes, the first and the last share their weight",
    )


def test_the_last_layers_leave_first(adapters):
    check_last_layers_first(door(adapters))
