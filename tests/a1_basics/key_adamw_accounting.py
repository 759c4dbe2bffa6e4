"""Keys of adamw_accounting, computed from the shape of GPT-2 XL by `shared.accounting`."""

from shared.accounting import (
    BYTES_PER_FLOAT32,
    SECONDS_PER_DAY,
    activation_bytes,
    adamw_step_flops,
    forward_flops,
    largest_batch,
    parameters,
    plain_activation_bytes,
    training_bytes,
    training_flops_6nd,
    training_flops_per_token,
    training_seconds,
)
from shared.doors.protocols import ModelConfig
from tests.harness.keys import Check, number

XL = ModelConfig(50257, 1024, 1600, 48, 25, 6400)
SEQ, BATCH, STEPS = 1024, 1024, 400_000
MEMORY_BYTES = 80e9
PEAK, MFU = 19.5e12, 0.5
WEIGHTS = BYTES_PER_FLOAT32 * parameters(XL).total / 1e9


def days(flops_per_step: float, rate: float = PEAK * MFU) -> float:
    """Days for all steps."""
    return STEPS * flops_per_step / rate / SECONDS_PER_DAY


def step_flops() -> float:
    """Forward and backward pass of one batch."""
    return BATCH * SEQ * training_flops_per_token(XL, SEQ)


ONE_COPY = {
    "float32 takes four bytes, not two": lambda _: WEIGHTS / 2,
    "one number for each parameter, no more": lambda _: 2 * WEIGHTS,
}

CHECKS: dict[str, Check] = {
    "weights_gigabytes": number(lambda _: WEIGHTS, ONE_COPY),
    "gradients_gigabytes": number(lambda _: WEIGHTS, ONE_COPY),
    "moments_gigabytes": number(
        lambda _: training_bytes(XL) / 1e9 - 2 * WEIGHTS,
        {
            "AdamW keeps two running means for each parameter": lambda _: WEIGHTS,
            "the gradient is no part of AdamW's state": lambda _: 3 * WEIGHTS,
        },
    ),
    "activations_gigabytes": number(
        lambda _: plain_activation_bytes(XL, 1, SEQ) / 1e9,
        {
            "scores and their softmax have a row of keys for every query and head": lambda _: (
                (plain_activation_bytes(XL, 1, SEQ) - 8 * XL.num_layers * XL.num_heads * SEQ * SEQ) / 1e9
            ),
            "the plain model keeps the scores and, besides, their softmax": lambda _: (
                (plain_activation_bytes(XL, 1, SEQ) - 4 * XL.num_layers * XL.num_heads * SEQ * SEQ) / 1e9
            ),
            "this is what a fused attention keeps; here scores are written out": lambda _: (
                activation_bytes(XL, 1, SEQ) / 1e9
            ),
            "is the end of the model in it: last norm, logits, log-probabilities?": lambda _: (
                (plain_activation_bytes(XL, 1, SEQ) - 4 * SEQ * (XL.d_model + 2 * XL.vocab_size)) / 1e9
            ),
            "this is one layer; there are more": lambda _: (
                plain_activation_bytes(XL, 1, SEQ) / 1e9 / XL.num_layers
            ),
        },
    ),
    "largest_batch": number(
        lambda _: largest_batch(XL, SEQ, MEMORY_BYTES),
        {
            "weights, gradients and moments need room before the first sequence": lambda _: (
                MEMORY_BYTES // plain_activation_bytes(XL, 1, SEQ)
            ),
            "a part of a sequence does not fit: round down": lambda _: (
                largest_batch(XL, SEQ, MEMORY_BYTES) + 1
            ),
        },
    ),
    "step_gigaflops": number(
        lambda _: adamw_step_flops(XL) / 1e9,
        {
            "this is one operation for each parameter; the five lines have more": lambda _: (
                parameters(XL).total / 1e9
            ),
            "forward and backward pass are asked for in the next question": lambda _: step_flops() / 1e9,
        },
    ),
    "batch_petaflops": number(
        lambda _: step_flops() / 1e15,
        {
            "a backward pass costs two forward passes": lambda _: step_flops() * 2 / 3 / 1e15,
            "the backward pass is asked for as well": lambda _: step_flops() / 3 / 1e15,
            "this is one sequence of the batch": lambda _: 3 * forward_flops(XL, SEQ).total / 1e15,
            "6 N D is a rule of thumb: it leaves the scores out and counts the embedding as a product": lambda _: (
                training_flops_6nd(parameters(XL).total, BATCH * SEQ) / 1e15
            ),
        },
    ),
    "training_days": number(
        lambda _: training_seconds(XL, STEPS, BATCH, SEQ, PEAK, MFU) / SECONDS_PER_DAY,
        {
            "a backward pass costs two forward passes": lambda _: days(step_flops() * 2 / 3),
            "the backward pass has to be paid too": lambda _: days(step_flops() / 3),
            "only half of the peak is used": lambda _: days(step_flops(), PEAK),
            "6 N D is a rule of thumb: it leaves the scores out and counts the embedding as a product": lambda _: (
                days(training_flops_6nd(parameters(XL).total, BATCH * SEQ))
            ),
            "these are hours": lambda _: 24 * days(step_flops()),
            "these are years": lambda _: days(step_flops()) / 365.25,
        },
    ),
}
