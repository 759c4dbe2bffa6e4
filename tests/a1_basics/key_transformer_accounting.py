"""Keys of transformer_accounting, computed from the shapes by `shared.accounting`."""

from collections.abc import Callable
from dataclasses import replace

from shared.accounting import BYTES_PER_FLOAT32, ForwardFlops, forward_flops, parameters
from shared.doors.protocols import ModelConfig
from tests.harness.keys import Check, Given, number

SHAPES = {
    "small": ModelConfig(50257, 1024, 768, 12, 12, 3072),
    "medium": ModelConfig(50257, 1024, 1024, 24, 16, 4096),
    "large": ModelConfig(50257, 1024, 1280, 36, 20, 5120),
    "xl": ModelConfig(50257, 1024, 1600, 48, 25, 6400),
}
XL = SHAPES["xl"]
SHORT, LONG = 1024, 16_384


def two_matrices(config: ModelConfig) -> ModelConfig:
    """A shape whose three feed-forward matrices have as many numbers as two of the right width."""
    return replace(config, d_ff=config.d_ff * 2 // 3)


def teraflops(config: ModelConfig, seq: int) -> Check:
    """The whole forward pass."""

    def flops() -> ForwardFlops:
        return forward_flops(config, seq)

    mistakes: dict[str, Callable[[Given], float]] = {
        "is the product with the output head in it?": lambda _: (flops().total - flops().head) / 1e12,
        "attention has two products without weights: queries with keys, and weights with values": lambda _: (
            (flops().total - flops().attention_scores / 2) / 1e12
        ),
        "are the products of attention that have no weights in it?": lambda _: (
            (flops().total - flops().attention_scores) / 1e12
        ),
        "the feed-forward here is gated: three matrices, not two": lambda _: (
            (flops().total - flops().feed_forward / 3) / 1e12
        ),
        "the embedding is a look-up, not a product": lambda _: (flops().total + flops().head) / 1e12,
        "this is a forward pass and its backward pass: only the former is asked for": lambda _: (
            3 * flops().total / 1e12
        ),
        "scores are per head, but a head is only d_model / heads wide": lambda _: (
            (flops().total + flops().attention_scores * (config.num_heads - 1)) / 1e12
        ),
        "attention has four projections": lambda _: (
            (flops().total - flops().attention_projections / 4) / 1e12
        ),
    }
    return number(lambda _: flops().total / 1e12, mistakes)


def share(config: ModelConfig, seq: int, part: str) -> Check:
    """One part of the forward pass, in per cent."""

    def percent(shape: ModelConfig, without: str = "") -> float:
        flops = forward_flops(shape, seq)
        whole = flops.total - (getattr(flops, without) if without else 0)
        return 100 * getattr(flops, part) / whole

    mistakes: dict[str, Callable[[Given], float]] = {
        "the feed-forward here is gated: three matrices, not two": lambda _: percent(two_matrices(config)),
    }
    if part != "head":
        mistakes["the head belongs to the whole too"] = lambda _: percent(config, "head")
    if part != "attention_scores":
        mistakes["scores and mixing belong to the whole too"] = lambda _: percent(config, "attention_scores")
    mistakes["a share of the parameters, where one of the FLOPs is asked for"] = lambda _: (
        100
        * getattr(parameters(config), {"attention_projections": "attention"}.get(part, part), 0)
        / parameters(config).total
    )
    return number(lambda _: percent(config), mistakes)


CHECKS: dict[str, Check] = {
    "xl_parameters": number(
        lambda _: parameters(XL).total,
        {
            "the head is a table of its own here: it is not tied to the embedding": lambda _: (
                parameters(replace(XL, tied_embeddings=True)).total
            ),
            "the norms have parameters too, the last one included": lambda _: (
                parameters(XL).total - parameters(XL).norms
            ),
            "there is one more norm, after the last block": lambda _: parameters(XL).total - XL.d_model,
            "the feed-forward here is gated: three matrices, not two": lambda _: (
                parameters(two_matrices(XL)).total
            ),
            "our matrices have no biases and our norms one vector each": lambda _: (
                parameters(XL).total + XL.num_layers * (9 * XL.d_model + 2 * XL.d_ff)
            ),
            "positions have no table here: RoPE learns nothing": lambda _: (
                parameters(XL).total + 1024 * XL.d_model
            ),
            "this is what is left without the two tables; they count too": lambda _: (
                parameters(XL).non_embedding
            ),
        },
    ),
    "xl_gigabytes": number(
        lambda _: BYTES_PER_FLOAT32 * parameters(XL).total / 1e9,
        {
            "float32 takes four bytes, not two": lambda _: 2 * parameters(XL).total / 1e9,
            "float32 takes four bytes, not eight": lambda _: 8 * parameters(XL).total / 1e9,
            "32 bits are four bytes": lambda _: 32 * parameters(XL).total / 1e9,
            "weights alone: no gradients, no moments": lambda _: 16 * parameters(XL).total / 1e9,
        },
    ),
    "xl_forward_teraflops": teraflops(XL, SHORT),
    "xl_projections_percent": share(XL, SHORT, "attention_projections"),
    "xl_scores_percent": share(XL, SHORT, "attention_scores"),
    "xl_feed_forward_percent": share(XL, SHORT, "feed_forward"),
    "xl_head_percent": share(XL, SHORT, "head"),
    "xl_long_forward_teraflops": teraflops(XL, LONG),
    "xl_long_growth": number(
        lambda _: forward_flops(XL, LONG).total / forward_flops(XL, SHORT).total,
        {
            "not all of it grows in proportion to the length": lambda _: LONG / SHORT,
            "not all of it grows with the square of the length": lambda _: (LONG / SHORT) ** 2,
        },
    ),
    "xl_long_scores_percent": share(XL, LONG, "attention_scores"),
}
for _size in ("small", "medium", "large"):
    CHECKS[f"{_size}_forward_teraflops"] = teraflops(SHAPES[_size], SHORT)
    CHECKS[f"{_size}_feed_forward_percent"] = share(SHAPES[_size], SHORT, "feed_forward")
    CHECKS[f"{_size}_head_percent"] = share(SHAPES[_size], SHORT, "head")
