"""Gradients that leave in buckets: what they are, how large, when they go, in which order."""

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
from tests.a2_systems.sending import check_goes_on, check_last_layers_first, check_two_dtypes, sent
from tests.harness.explain import expect, expect_equal

SIZES = [0.00004, 0.0001, 1.0]
# MB of 10^6 or of 2^20 bytes: every size here gives the same buckets either way.


def door(adapters, bucket_size_mb: float = 0.00014) -> Door:
    return Door(
        lambda module: adapters.get_ddp_bucketed(module, bucket_size_mb),
        adapters.ddp_bucketed_on_after_backward,
        adapters.ddp_bucketed_on_train_batch_start,
    )


def test_every_rank_begins_as_rank_zero(adapters):
    check_start(door(adapters))


def test_the_forward_pass_is_the_modules(adapters):
    check_forward(door(adapters))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_steps_are_those_of_one_process(adapters, ranks, optimizer):
    check_training(door(adapters), ranks, optimizer)


@pytest.mark.parametrize("bucket_size_mb", SIZES)
def test_parameters_that_a_batch_does_not_use(adapters, bucket_size_mb):
    check_unused(door(adapters, bucket_size_mb))


@pytest.mark.parametrize("bucket_size_mb", SIZES)
def test_gradients_that_add_up(adapters, bucket_size_mb):
    check_accumulation(door(adapters, bucket_size_mb))


def test_bfloat16(adapters):
    check_bfloat16(door(adapters))


def test_buckets_have_the_size_that_was_asked_for(adapters):
    during, after = sent(door(adapters, 0.0002), layers=8)
    large = [size for size in during + after if size >= 64]
    expect(
        max(large) <= 224 and len(large) in (3, 4) and sum(large) <= 8 * 64 + 64,
        what="gradients travel together up to the size of a bucket, each once",
        why="one message for all hides nothing; one for each pays a latency each time",
        counterexample=f"all-reduces in bytes: {during} during backward, {after} after it",
        case="eight layers of 64 bytes, buckets of 200 bytes: three fit; 24 bytes more are allowed for words between",
    )


def test_full_buckets_leave_before_backward_returns(adapters):
    during, after = sent(door(adapters, 0.0002), layers=8)
    expect(
        sum(during) >= 8 * 64,
        what="every bucket has been handed to an all-reduce when backward returns",
        why="what leaves only afterwards is waited for with nothing else to do",
        counterexample=f"all-reduces in bytes: {during} during backward, {after} after it",
        case="eight layers of 64 bytes, buckets of 200 bytes",
    )


@pytest.mark.parametrize("bucket_size_mb", [0.0001, 0.0002])
def test_backward_goes_on_while_buckets_travel(adapters, bucket_size_mb):
    check_goes_on(door(adapters, bucket_size_mb))


def test_a_parameter_larger_than_a_bucket(adapters):
    during, after = sent(door(adapters, 0.00001), layers=3)
    expect_equal(
        len([size for size in during + after if 64 <= size <= 72]),
        3,
        what="a parameter larger than a bucket travels alone",
        why="an embedding is larger than any sensible bucket",
        case="three layers of 64 bytes, buckets of 10 bytes",
    )


def test_dtypes_travel_apart(adapters):
    check_two_dtypes(door(adapters, 1.0))


def test_the_last_layers_leave_first(adapters):
    check_last_layers_first(door(adapters, 0.0002))
