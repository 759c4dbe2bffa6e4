"""The pre-norm block: what it does when a part is switched off, where the norms stand; then an oracle and slopes."""

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.learning import expect_learning
from tests.oracles import layers, transformer
from tests.oracles.slopes import slopes

# float32: seven matrix products of at most 48 numbers, two norms and a softmax, with weights that keep sizes near
# one; RoPE adds the rounding of its angles. Wrong laws are off by 1e-2 and more.
ATOL = 5e-5
# float32 gradients, sums of a few dozen products of numbers of size up to 10.
ATOL_SLOPE = 1e-3

THETA = 10_000.0


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def block_weights(d_model: int, d_ff: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of a block, gains included; those of queries and keys larger, so that attention is no average."""
    shapes = {
        "attn.q_proj.weight": (d_model, d_model, 1.5),
        "attn.k_proj.weight": (d_model, d_model, 1.5),
        "attn.v_proj.weight": (d_model, d_model, 1.0),
        "attn.output_proj.weight": (d_model, d_model, 1.0),
        "ffn.w1.weight": (d_ff, d_model, 1.0),
        "ffn.w2.weight": (d_model, d_ff, 1.0),
        "ffn.w3.weight": (d_ff, d_model, 1.0),
    }
    weights = {
        name: numbers(rows, columns, seed=1000 * seed + i) * (size / columns**0.5)
        for i, (name, (rows, columns, size)) in enumerate(shapes.items())
    }
    weights["ln1.weight"] = 1 + numbers(d_model, seed=1000 * seed + 7) / 3
    weights["ln2.weight"] = 1 + numbers(d_model, seed=1000 * seed + 8) / 3
    return weights


def without(weights: dict[str, torch.Tensor], *names: str) -> dict[str, torch.Tensor]:
    """The same weights, those of these names set to zero."""
    return {name: torch.zeros_like(w) if name in names else w for name, w in weights.items()}


def block(adapters, weights, x, heads=2, theta=THETA, *, max_seq_len=32):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    return adapters.run_transformer_block(
        d_model=x.shape[-1],
        num_heads=heads,
        d_ff=len(weights["ffn.w1.weight"]),
        max_seq_len=max_seq_len,
        theta=theta,
        weights={name: weight.clone() for name, weight in weights.items()},
        in_features=x.clone(),
    )


def arrays(weights):
    return {name: weight.detach().double().numpy() for name, weight in weights.items()}


def want(weights, x, heads=2, theta=THETA):
    return transformer.block(x.detach().double().numpy(), arrays(weights), heads, theta)


def test_switched_off_it_is_the_identity(adapters):
    weights = without(block_weights(8, 12, seed=1), "attn.output_proj.weight", "ffn.w2.weight")
    x = numbers(2, 5, 8, seed=2) * 3
    expect_close(
        block(adapters, weights, x),
        x,
        what="with W_o = 0 and w2 = 0 the block returns its input, exactly",
        why="this is what residual means: the stream runs through the whole model untouched, and gradients run back",
        atol=0.0,
        case="x of shape (2, 5, 8)",
    )


def test_attention_half_alone(adapters):
    weights = without(block_weights(8, 12, seed=3), "ffn.w2.weight")
    x = numbers(2, 5, 8, seed=4)
    expect_close(
        block(adapters, weights, x),
        want(weights, x),
        what="with w2 = 0 the result is x + attention(norm(x)), the norm with the gains ln1",
        why="a norm of the sum, or a sum that starts from the normalised x, loses the untouched stream",
        atol=ATOL,
        case="x of shape (2, 5, 8), 2 heads",
    )


def test_feed_forward_half_alone(adapters):
    weights = without(block_weights(8, 12, seed=5), "attn.output_proj.weight")
    x = numbers(2, 5, 8, seed=6)
    ffn = [arrays(weights)[f"ffn.w{i}.weight"] for i in (1, 2, 3)]
    normed = layers.rms_norm(x.numpy(), weights["ln2.weight"].numpy(), 1e-5)
    expect_close(
        block(adapters, weights, x),
        x.double().numpy() + layers.swiglu(normed, *ffn),
        what="with W_o = 0 the result is x + feed_forward(norm(x)), the norm with the gains ln2",
        why="without a norm of its own the feed-forward sees numbers that grow from layer to layer",
        atol=ATOL,
        case="x of shape (2, 5, 8), d_ff=12",
    )


@pytest.mark.parametrize("off", ["attn.output_proj.weight", "ffn.w2.weight"])
def test_what_is_added_does_not_grow_with_the_stream(adapters, off):
    weights, x = without(block_weights(8, 12, seed=7), off), numbers(2, 5, 8, seed=8) * 4
    added = block(adapters, weights, x).double() - x.double()
    expect_close(
        block(adapters, weights, 16 * x).double() - 16 * x.double(),
        added,
        what="with one half switched off, the other adds the same to x and to 16 x: it reads a normalised copy, and "
        "the stream itself is never normalised",
        why="norms after the sum (post-norm) make deep models hard to train and need a careful warm-up",
        atol=1e-4,  # differences of numbers of size 200 in float32, and what eps does to vectors of size 4
        case=f"x of shape (2, 5, 8) and size 4, {off} = 0",
    )


@pytest.mark.parametrize("gain", ["ln1.weight", "ln2.weight"])
def test_each_half_has_its_own_norm(adapters, gain):
    weights, x = block_weights(8, 12, seed=9), numbers(2, 5, 8, seed=10)
    silent = without(weights, gain)
    other = {"ln1.weight": "attn.output_proj.weight", "ln2.weight": "ffn.w2.weight"}[gain]
    expect_close(
        block(adapters, silent, x),
        want(without(weights, other), x),
        what=f"with {gain} = 0 {'attention' if gain == 'ln1.weight' else 'the feed-forward'} adds nothing, and the "
        "other half works as ever",
        why="ln1 and ln2 have the same shape: exchanged, or one used twice, everything fits",
        atol=ATOL,
        case=f"x of shape (2, 5, 8), {gain} of zeros",
    )


def test_the_feed_forward_reads_what_attention_wrote(adapters):
    # Attention moves the stream far away from x; a feed-forward that reads the old x would add something else.
    weights, x = block_weights(8, 12, seed=11), numbers(2, 5, 8, seed=12)
    weights["attn.output_proj.weight"] = weights["attn.output_proj.weight"] * 20
    attended = block(adapters, without(weights, "ffn.w2.weight"), x)
    expect_close(
        block(adapters, weights, x),
        block(adapters, without(weights, "attn.output_proj.weight"), attended.detach()),
        what="the whole block is its attention half, and then its feed-forward half applied to the result",
        why="both halves reading the same x is the parallel block of other models: it fits, and reads checkpoints "
        "wrongly",
        atol=2e-4,  # numbers of size 40
        case="x of shape (2, 5, 8), attention writing 20 times as much as usual",
    )


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3], ids=lambda size: f"size {size:g}")
def test_eps_is_1e_5(adapters, size):
    weights, x = block_weights(8, 12, seed=13), numbers(2, 4, 8, seed=14) * size
    weights["attn.output_proj.weight"] = weights["attn.output_proj.weight"] * size
    expect_close(
        block(adapters, weights, x).double() / size,
        want(weights, x) / size,
        what="both norms add eps = 1e-5 under their root",
        why="for a stream of size 0.001, as a fresh model may have, another eps makes what is added several times "
        "larger or smaller",
        atol=5e-4 if size < 1 else ATOL,  # what is added is of size one, and is divided by the stream's size
        rtol=1e-6,
        case=f"x of shape (2, 4, 8) and size {size:g}; results are shown divided by it",
    )


@pytest.mark.parametrize(
    ("d_model", "heads", "d_ff"), [(8, 1, 12), (8, 4, 5), (48, 4, 128), (12, 2, 12)], ids=str
)
def test_sizes(adapters, d_model, heads, d_ff):
    weights, x = block_weights(d_model, d_ff, seed=15), numbers(2, 6, d_model, seed=16)
    expect_close(
        block(adapters, weights, x, heads),
        want(weights, x, heads),
        what="y = x + attention(norm(x)), then y + feed_forward(norm(y)), for any number of heads and any d_ff",
        why="this is the definition; every other test is a consequence of it",
        atol=ATOL,
        case=f"d_model={d_model}, {heads} heads, d_ff={d_ff}, x of shape (2, 6, {d_model})",
    )


@pytest.mark.parametrize("seq", [1, 2, 12, 13, 32])
def test_the_future_has_no_influence(adapters, seq):
    weights, x = block_weights(8, 12, seed=17), numbers(2, seq, 8, seed=18)
    together = block(adapters, weights, x)
    expect_close(
        together,
        want(weights, x),
        what="a sequence of any length up to max_seq_len works",
        why="a mask or a table made for one length fails at the next",
        atol=ATOL,
        case=f"{seq} tokens, max_seq_len=32",
    )
    for last in sorted({0, seq // 2, max(seq - 2, 0)}):
        changed = x.clone()
        changed[:, last + 1 :] = 10 * numbers(2, seq, 8, seed=19)[:, last + 1 :]
        expect_close(
            block(adapters, weights, changed)[:, : last + 1],
            together[:, : last + 1],
            what="tokens after a position have no influence on it",
            why="a norm over the whole sequence leaks the future as much as a missing mask does",
            atol=1e-6,
            case=f"{seq} tokens; those after position {last} are exchanged; shown are positions 0 to {last}",
        )


def test_order_counts(adapters):
    weights, x = block_weights(8, 12, seed=20), numbers(1, 6, 8, seed=21)
    shuffled = block(adapters, weights, x[:, [3, 1, 4, 0, 2, 5]])[:, -1].double()
    moved = (shuffled - block(adapters, weights, x)[:, -1].double()).abs().max().item()
    expect(
        moved > 1e-2,
        what="the order of the tokens before counts: attention has RoPE",
        why="without positions, 'dog bites man' and 'man bites dog' are one sentence",
        counterexample=f"the first five of 6 tokens shuffled: no number of the last moved by more than {moved:.2g}",
    )


@pytest.mark.parametrize("theta", [2.0, 500_000.0])
def test_theta_sets_the_speeds(adapters, theta):
    weights, x = block_weights(12, 8, seed=22), numbers(2, 6, 12, seed=23)
    expect_close(
        block(adapters, weights, x, 2, theta),
        want(weights, x, 2, theta),
        what="RoPE turns by theta ** (-2k / head_dim) per position, positions counting 0, 1, 2, ...",
        why="long-context models raise theta; a fixed 10,000 reads their weights wrongly",
        atol=ATOL,
        case=f"d_model=12, 2 heads, theta={theta:g}",
    )


def test_sequences_of_a_batch_are_alone(adapters):
    weights, x = block_weights(8, 12, seed=24), numbers(3, 5, 8, seed=25)
    together = block(adapters, weights, x)
    for i in range(3):
        expect_close(
            block(adapters, weights, x[i : i + 1]),
            together[i : i + 1],
            what="a sequence gives the same alone and in a batch",
            why="a norm or a softmax over the batch makes results depend on who else is served",
            atol=ATOL,
            case=f"sequence {i} of 3 alone",
        )


def test_the_order_of_the_dict_does_not_count(adapters):
    weights, x = block_weights(8, 8, seed=26), numbers(2, 4, 8, seed=27)
    backwards = dict(reversed(list(weights.items())))
    expect_close(
        block(adapters, backwards, x),
        want(weights, x),
        what="weights are found by their names",
        why="checkpoint files keep their tensors in an order of their own",
        atol=ATOL,
        case="the same weights, the dict in reverse order",
    )


def test_gradients_equal_the_oracles_slope(adapters):
    weights, x = block_weights(4, 6, seed=28), numbers(1, 3, 4, seed=29).requires_grad_()
    slope = numbers(1, 3, 4, seed=30)
    got = adapters.run_transformer_block(
        d_model=4, num_heads=2, d_ff=6, max_seq_len=8, theta=THETA, weights=weights, in_features=x
    )
    expect(
        bool(got.requires_grad),
        what="the result is differentiable with respect to the input",
        why="with detach() or no_grad inside, no layer before this one learns",
        counterexample="in_features.requires_grad is True, the result's is False",
    )
    (got * slope).sum().backward()
    fixed = arrays(weights)

    def loss(at: np.ndarray) -> float:
        return float((transformer.block(at, fixed, 2, THETA) * slope.double().numpy()).sum())

    expect_close(
        x.grad,
        slopes(loss, x.detach().numpy()),
        what="the gradient is the slope of the function: along the stream and through both halves",
        why="a half that is detached still gives the right numbers, and the layers before learn nothing from it",
        atol=ATOL_SLOPE,
        case="x of shape (1, 3, 4), 2 heads, d_ff=6",
    )


def test_gradients_reach_every_weight(adapters):
    weights = {name: weight.requires_grad_() for name, weight in block_weights(4, 3, seed=31).items()}
    x, slope = numbers(1, 3, 4, seed=32), numbers(1, 3, 4, seed=33)
    fixed, start = arrays(weights), x.double().numpy()

    def loss(name: str, at: np.ndarray) -> float:
        result = transformer.block(start, {**fixed, name: at}, 2, THETA)
        return float((result * slope.double().numpy()).sum())

    got = adapters.run_transformer_block(
        d_model=4, num_heads=2, d_ff=3, max_seq_len=8, theta=THETA, weights=dict(weights), in_features=x
    )
    expect_learning(
        got,
        slope,
        weights,
        {name: slopes(lambda at, name=name: loss(name, at), array) for name, array in fixed.items()},
        atol=ATOL_SLOPE,
        case="x of shape (1, 3, 4), 2 heads, d_ff=3",
    )


def test_calls_do_not_remember_each_other(adapters):
    for call, (seq, theta, longest) in enumerate(
        [(12, 1e4, 12), (5, 1e4, 12), (20, 1e4, 32), (12, 100.0, 12)]
    ):
        weights, x = block_weights(8, 12, seed=34 + call), numbers(2, seq, 8, seed=44 + call)
        expect_close(
            block(adapters, weights, x, 2, theta, max_seq_len=longest),
            want(weights, x, 2, theta),
            what="each call depends on its own arguments alone",
            why="masks, tables of angles and weights kept from an earlier call do not fit this one",
            atol=ATOL,
            case=f"call {call}: {seq} tokens, theta={theta:g}, max_seq_len={longest}",
        )


def test_arguments_are_left_alone(adapters):
    weights, x = block_weights(8, 12, seed=50), numbers(2, 4, 8, seed=51)
    given, x_before = {name: weight.clone() for name, weight in weights.items()}, x.clone()
    adapters.run_transformer_block(
        d_model=8, num_heads=2, d_ff=12, max_seq_len=8, theta=THETA, weights=given, in_features=x
    )
    expect_equal(
        x,
        x_before,
        what="in_features is not changed in place",
        why="x += ... saves a line and destroys what the backward pass needs",
    )
    expect_equal(
        given,
        weights,
        what="the dict of weights and the weights are not changed",
        why="pop() leaves an empty dict for the next call",
    )
