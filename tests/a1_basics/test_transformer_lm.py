"""The language model: what is left when parts are switched off, order of the layers, causality; an oracle, slopes."""

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.learning import expect_learning
from tests.oracles import layers, transformer
from tests.oracles.slopes import slopes

# float32: a few layers of matrix products of at most 32 numbers, norms and softmaxes, with weights that keep sizes near
# one. Wrong laws are off by 1e-2 and more.
ATOL = 1e-4
# float32 gradients through two layers, of sizes up to 20.
ATOL_SLOPE = 2e-3

THETA = 10_000.0


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def some_ids(*shape: int, vocab: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, vocab, shape))


def model_weights(
    vocab: int, d_model: int, d_ff: int, num_layers: int, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Random weights of a whole model, gains included; no two tensors are alike."""
    random = np.random.default_rng(1000 + seed)

    def matrix(rows: int, columns: int, size: float = 1.0) -> torch.Tensor:
        return torch.from_numpy(
            (random.standard_normal((rows, columns)) * size / columns**0.5).astype(np.float32)
        )

    def gains() -> torch.Tensor:
        return torch.from_numpy((1 + random.standard_normal(d_model) / 3).astype(np.float32))

    weights = {"token_embeddings.weight": matrix(vocab, d_model, d_model**0.5)}
    for layer in range(num_layers):
        parts = {
            "attn.q_proj.weight": matrix(d_model, d_model, 1.5),
            "attn.k_proj.weight": matrix(d_model, d_model, 1.5),
            "attn.v_proj.weight": matrix(d_model, d_model),
            "attn.output_proj.weight": matrix(d_model, d_model),
            "ln1.weight": gains(),
            "ffn.w1.weight": matrix(d_ff, d_model),
            "ffn.w2.weight": matrix(d_model, d_ff),
            "ffn.w3.weight": matrix(d_ff, d_model),
            "ln2.weight": gains(),
        }
        weights |= {f"layers.{layer}.{name}": weight for name, weight in parts.items()}
    return {**weights, "ln_final.weight": gains(), "lm_head.weight": matrix(vocab, d_model)}


def silenced(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same model with all blocks switched off: they add nothing."""
    return {
        name: torch.zeros_like(weight) if name.endswith(("output_proj.weight", "ffn.w2.weight")) else weight
        for name, weight in weights.items()
    }


def num_layers_of(weights) -> int:
    return len({name.split(".")[1] for name in weights if name.startswith("layers.")})


def logits(adapters, weights, ids, heads=2, theta=THETA, *, context_length=32):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    vocab, d_model = weights["token_embeddings.weight"].shape
    return adapters.run_transformer_lm(
        vocab_size=vocab,
        context_length=context_length,
        d_model=d_model,
        num_layers=num_layers_of(weights),
        num_heads=heads,
        d_ff=len(weights["layers.0.ffn.w1.weight"]),
        rope_theta=theta,
        weights={name: weight.clone() for name, weight in weights.items()},
        in_indices=ids.clone(),
    )


def arrays(weights):
    return {name: weight.detach().double().numpy() for name, weight in weights.items()}


def want(weights, ids, heads=2, theta=THETA):
    return transformer.language_model(ids.numpy(), arrays(weights), num_layers_of(weights), heads, theta)


def test_with_silent_blocks_only_embedding_norm_and_head_are_left(adapters):
    weights, ids = silenced(model_weights(7, 8, 12, 2, seed=1)), some_ids(2, 5, vocab=7, seed=2)
    table, gain, head = (
        arrays(weights)[f"{name}.weight"] for name in ("token_embeddings", "ln_final", "lm_head")
    )
    expect_close(
        logits(adapters, weights, ids),
        layers.linear(layers.rms_norm(table[ids.numpy()], gain, 1e-5), head),
        what="when the blocks add nothing, the logits are lm_head(norm(embedding))",
        why="a position that is added, a scaled embedding, a missing last norm or a tied head would show here",
        atol=ATOL,
        case="2 layers with W_o = 0 and w2 = 0, ids of shape (2, 5)",
    )


def test_the_last_norm_takes_the_size_away(adapters):
    weights, ids = silenced(model_weights(7, 8, 12, 2, seed=3)), some_ids(2, 5, vocab=7, seed=4)
    louder = {**weights, "token_embeddings.weight": weights["token_embeddings.weight"] * 50}
    expect_close(
        logits(adapters, louder, ids),
        logits(adapters, weights, ids),
        what="when the blocks add nothing, a table 50 times as large gives the same logits",
        why="without the last norm the logits grow with depth, and the first losses are far above ln(vocab)",
        atol=ATOL * 2,  # eps = 1e-5 shows in the smaller vectors
        case="2 layers with W_o = 0 and w2 = 0",
    )


def test_logits_are_not_normalised(adapters):
    weights, ids = model_weights(7, 8, 12, 2, seed=5), some_ids(2, 5, vocab=7, seed=6)
    doubled = {**weights, "lm_head.weight": -2 * weights["lm_head.weight"]}
    expect_close(
        logits(adapters, doubled, ids),
        -2 * logits(adapters, weights, ids).double(),
        what="lm_head times -2 gives logits times -2: nothing follows the last matrix",
        why="the loss takes a softmax of its own; a second one makes the best possible loss a bad one",
        atol=ATOL,
        case="ids of shape (2, 5), vocab 7",
    )


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(("d_model", "heads", "d_ff"), [(8, 2, 12), (32, 4, 20)], ids=str)
def test_sizes(adapters, num_layers, d_model, heads, d_ff):
    weights, ids = model_weights(11, d_model, d_ff, num_layers, seed=7), some_ids(2, 6, vocab=11, seed=8)
    expect_close(
        logits(adapters, weights, ids, heads),
        want(weights, ids, heads),
        what="embedding, blocks 0, 1, ... in this order, norm, head; a row of logits for every position",
        why="this is the definition; every other test is a consequence of it",
        atol=ATOL,
        case=f"{num_layers} layers, d_model={d_model}, {heads} heads, d_ff={d_ff}, ids of shape (2, 6)",
    )


def test_more_than_ten_layers_keep_their_order(adapters):
    weights, ids = model_weights(5, 4, 6, 12, seed=9), some_ids(1, 4, vocab=5, seed=10)
    expect_close(
        logits(adapters, weights, ids),
        want(weights, ids),
        what="layer 10 comes after layer 9, and has weights of its own",
        why="sorted as text, layers.10 comes before layers.2, and its name begins with layers.1",
        # Twelve layers of width 4: a rounding of 1e-6 may grow a little with each.
        atol=5 * ATOL,
        case="12 layers, d_model=4",
    )


def test_every_weight_has_influence(adapters):
    weights, ids = model_weights(6, 8, 12, 2, seed=11), some_ids(2, 5, vocab=6, seed=12)
    before = logits(adapters, weights, ids).double()
    for name, weight in weights.items():
        random = numbers(*weight.shape, seed=13) * weight.abs().mean()
        moved = (logits(adapters, {**weights, name: random}, ids).double() - before).abs().max().item()
        expect(
            moved > 1e-4,
            what=f"{name} has influence on the logits",
            why="one block used for all layers, or a head tied to the embedding, leaves weights of the checkpoint "
            "unread",
            counterexample=f"with other numbers in it no logit moved by more than {moved:.2g}",
            case="2 layers, ids of shape (2, 5)",
        )


@pytest.mark.parametrize("seq", [1, 5, 12, 13, 32])
def test_the_future_has_no_influence(adapters, seq):
    weights, ids = model_weights(9, 8, 12, 2, seed=14), some_ids(2, seq, vocab=9, seed=15)
    together = logits(adapters, weights, ids)
    expect_close(
        together,
        want(weights, ids),
        what="a sequence of any length up to context_length works",
        why="prompts are shorter than the context, and training uses all of it",
        atol=ATOL,
        case=f"{seq} tokens, context_length=32",
    )
    for last in sorted({0, seq // 2, max(seq - 2, 0)}):
        changed = ids.clone()
        changed[:, last + 1 :] = (ids[:, last + 1 :] + 4) % 9
        expect_close(
            logits(adapters, weights, changed)[:, : last + 1],
            together[:, : last + 1],
            what="tokens after a position have no influence on its logits",
            why="a model that sees the word it has to predict has a wonderful training loss and writes rubbish",
            atol=2e-6,
            case=f"{seq} tokens; those after position {last} are others; shown are positions 0 to {last}",
        )


def test_a_prefix_alone_gives_the_same(adapters):
    weights, ids = model_weights(9, 8, 12, 2, seed=16), some_ids(2, 9, vocab=9, seed=17)
    together = logits(adapters, weights, ids)
    for length in (1, 4, 8):
        expect_close(
            logits(adapters, weights, ids[:, :length]),
            together[:, :length],
            what="a beginning alone gives what it gives within the whole",
            why="generation runs on prompts of any length and must agree with training",
            atol=ATOL,
            case=f"the first {length} of 9 tokens",
        )


def test_order_counts(adapters):
    weights, ids = model_weights(9, 8, 12, 1, seed=18), torch.tensor([[0, 1, 2, 3, 4, 5]])
    shuffled = logits(adapters, weights, ids[:, [3, 1, 4, 0, 2, 5]])[:, -1].double()
    moved = (shuffled - logits(adapters, weights, ids)[:, -1].double()).abs().max().item()
    expect(
        moved > 1e-2,
        what="the order of the tokens before counts",
        why="without positions, 'dog bites man' and 'man bites dog' are one sentence",
        counterexample=f"the first five of 6 tokens shuffled: no logit of the last moved by more than {moved:.2g}",
    )


@pytest.mark.parametrize("theta", [2.0, 500_000.0])
def test_rope_theta_sets_the_speeds(adapters, theta):
    weights, ids = model_weights(9, 12, 8, 2, seed=19), some_ids(2, 8, vocab=9, seed=20)
    expect_close(
        logits(adapters, weights, ids, 2, theta),
        want(weights, ids, 2, theta),
        what="rope_theta reaches the attention of every layer",
        why="long-context models raise theta; a fixed 10,000 reads their weights wrongly",
        atol=ATOL,
        case=f"2 layers, d_model=12, 2 heads, rope_theta={theta:g}",
    )


def test_sequences_of_a_batch_are_alone(adapters):
    weights, ids = model_weights(9, 8, 12, 2, seed=21), some_ids(3, 5, vocab=9, seed=22)
    together = logits(adapters, weights, ids)
    expect_equal(
        tuple(together.shape),
        (3, 5, 9),
        what="logits have shape (batch, seq, vocab)",
        why="the loss wants them so",
    )
    for i in range(3):
        expect_close(
            logits(adapters, weights, ids[i : i + 1]),
            together[i : i + 1],
            what="a sequence gives the same alone and in a batch",
            why="results must not depend on who else is served",
            atol=ATOL,
            case=f"sequence {i} of 3 alone",
        )


def test_the_order_of_the_dict_does_not_count(adapters):
    weights, ids = model_weights(9, 8, 8, 3, seed=23), some_ids(2, 5, vocab=9, seed=24)
    backwards = dict(reversed(list(weights.items())))
    expect_close(
        logits(adapters, backwards, ids),
        want(weights, ids),
        what="weights are found by their names",
        why="checkpoint files keep their tensors in an order of their own",
        atol=ATOL,
        case="3 layers, the dict in reverse order",
    )


def test_gradients_reach_every_weight(adapters):
    weights = {name: weight.requires_grad_() for name, weight in model_weights(5, 4, 3, 2, seed=25).items()}
    ids, slope = torch.tensor([[0, 3, 3]]), numbers(1, 3, 5, seed=26)
    fixed = arrays(weights)

    def loss(name: str, at: np.ndarray) -> float:
        result = transformer.language_model(ids.numpy(), {**fixed, name: at}, 2, 2, THETA)
        return float((result * slope.double().numpy()).sum())

    got = adapters.run_transformer_lm(
        vocab_size=5,
        context_length=8,
        d_model=4,
        num_layers=2,
        num_heads=2,
        d_ff=3,
        rope_theta=THETA,
        weights=dict(weights),
        in_indices=ids,
    )
    expect_learning(
        got,
        slope,
        weights,
        {name: slopes(lambda at, name=name: loss(name, at), array) for name, array in fixed.items()},
        atol=ATOL_SLOPE,
        case="ids (0, 3, 3), vocab 5, 2 layers, d_model=4, d_ff=3",
    )


def test_calls_do_not_remember_each_other(adapters):
    for call, (seq, theta, longest) in enumerate(
        [(12, 1e4, 12), (5, 1e4, 12), (20, 1e4, 32), (12, 100.0, 12)]
    ):
        weights, ids = model_weights(9, 8, 12, 2, seed=30 + call), some_ids(2, seq, vocab=9, seed=40 + call)
        expect_close(
            logits(adapters, weights, ids, 2, theta, context_length=longest),
            want(weights, ids, 2, theta),
            what="each call depends on its own arguments alone",
            why="two models of the same size live in one process when one is compared with the other",
            atol=ATOL,
            case=f"call {call}: {seq} tokens, rope_theta={theta:g}, context_length={longest}",
        )


def test_arguments_are_left_alone(adapters):
    weights, ids = model_weights(9, 8, 12, 2, seed=50), some_ids(2, 4, vocab=9, seed=51)
    given, ids_before = {name: weight.clone() for name, weight in weights.items()}, ids.clone()
    adapters.run_transformer_lm(
        vocab_size=9,
        context_length=8,
        d_model=8,
        num_layers=2,
        num_heads=2,
        d_ff=12,
        rope_theta=THETA,
        weights=given,
        in_indices=ids,
    )
    expect_equal(
        ids, ids_before, what="in_indices is not changed in place", why="the batch serves the loss next"
    )
    expect_equal(
        given,
        weights,
        what="the dict of weights and the weights are not changed",
        why="pop() and in-place sums leave another model for the next call",
    )
