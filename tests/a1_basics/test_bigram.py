"""The counted bigram model: what its probabilities depend on, how they are smoothed, and then the formula."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.harness.explain import expect, expect_close, expect_equal

# Log-probabilities are kept in float32: six digits.
ATOL = 2e-5
PRIOR = 5.0


def probabilities(adapters, tokens, vocab_size: int) -> np.ndarray:
    """p[a, b], what the model gives to b after a."""
    model = adapters.bigram_model(np.asarray(tokens, dtype=np.uint16), vocab_size)
    logits = logits_of(model, np.arange(vocab_size)[None])[0]
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def logits_of(model, ids) -> np.ndarray:
    with torch.no_grad():
        return model(torch.as_tensor(np.asarray(ids), dtype=torch.long)).double().numpy()


def oracle(tokens, vocab_size: int) -> np.ndarray:
    """Counts, smoothed towards how often each token comes second, which is smoothed towards uniform; plain Python."""
    pairs = [[0.0] * vocab_size for _ in range(vocab_size)]
    seconds = [1 / vocab_size] * vocab_size
    for before, after in itertools.pairwise(int(token) for token in tokens):
        pairs[before][after] += 1
        seconds[after] += 1
    total = sum(seconds)
    return np.array(
        [
            [(pairs[a][b] + PRIOR * seconds[b] / total) / (sum(pairs[a]) + PRIOR) for b in range(vocab_size)]
            for a in range(vocab_size)
        ]
    )


def chain(count: int, vocab_size: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of a chain in which each token depends on the one before, and the chain's true probabilities."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(vocab_size, 0.7), size=vocab_size)
    tokens = [0]
    for uniform in rng.random(count - 1):
        tokens.append(min(int(np.searchsorted(np.cumsum(p[tokens[-1]]), uniform)), vocab_size - 1))
    return np.array(tokens), p


def test_it_is_called_like_every_model(adapters):
    tokens, _ = chain(200)
    model = adapters.bigram_model(tokens.astype(np.uint16), 6)
    expect(
        isinstance(model, nn.Module),
        what="bigram_model returns an nn.Module",
        why="whatever evaluates, samples and compares models takes it as it is",
        counterexample=f"got {type(model).__name__}",
    )
    ids = torch.tensor([[0, 3, 5], [1, 1, 2]])
    for case, logits in {
        "model(ids)": model(ids),
        "model(ids, positions=..., attend=...)": model(
            ids, positions=torch.arange(3).expand(2, 3), attend=None
        ),
    }.items():
        expect_equal(
            tuple(logits.shape),
            (2, 3, 6),
            what="model(token_ids) gives logits of shape (batch, seq, vocab)",
            why="the same call works for every model of the workspace",
            case=case,
        )


def test_only_the_last_token_counts(adapters):
    tokens, _ = chain(300)
    model = adapters.bigram_model(tokens, 6)
    alone = logits_of(model, [[0], [1], [2], [3], [4], [5]])[:, 0]
    inside = logits_of(model, [[5, 2, 0, 4, 1, 3]])[0]
    expect_close(
        inside,
        alone[[5, 2, 0, 4, 1, 3]],
        what="the logits at a position depend on the token there, and on nothing else",
        why="that is what makes it a bigram model: the line that a model with a longer memory must fall below",
        atol=ATOL,
        case="six tokens in one sequence, and each alone",
    )


def test_probabilities_approach_the_frequencies(adapters):
    tokens, true = chain(60_000, seed=1)
    got = probabilities(adapters, tokens, 6)
    counts = np.zeros((6, 6))
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    expect_close(
        got,
        counts / counts.sum(axis=1, keepdims=True),
        what="with much text p(b after a) is the share of b among the tokens that follow a",
        why="rows and columns exchanged, or counts divided by the wrong total, describe another language",
        atol=float(2 * PRIOR / counts.sum(axis=1).min()),  # what five imagined tokens can move
        case="60,000 tokens of a chain of 6",
    )
    expect(
        bool(np.abs(got - true).max() < 0.03),
        what="and that is the probability with which the text was made",
        why="the counts are an estimate of it",
        counterexample=f"furthest off by {np.abs(got - true).max():.3f}",
    )


def test_every_row_sums_to_one(adapters):
    model = adapters.bigram_model(np.array([0, 1, 0, 1, 1], dtype=np.uint16), 4)
    logits = logits_of(model, [[0, 1, 2, 3]])[0]
    expect_close(
        np.exp(logits).sum(axis=-1),
        np.ones(4),
        what="the logits are log-probabilities: their exponentials sum to one, after unseen tokens too",
        why="a loss is then read off directly, and a mistake in the total shows",
        atol=ATOL,
        case="tokens 0 1 0 1 1, vocabulary of 4",
    )


def test_nothing_is_impossible(adapters):
    p = probabilities(adapters, [0, 1] * 50, 5)
    expect(
        bool((p > 1e-5).all()),  # the rarest here has 0.0002
        what="pairs and tokens that were never seen have a small probability, not (nearly) zero",
        why="one new pair in a million of held-out text would make the loss infinite",
        counterexample=f"p(1 after 1) = {p[1, 1]:g}, p(4 after 0) = {p[0, 4]:g}, p(0 after 4) = {p[4, 0]:g}",
        case="tokens 0 1 0 1 ..., vocabulary of 5",
    )


def test_unseen_pairs_follow_the_frequency_of_their_second_token(adapters):
    tokens = [0, 1] * 40 + [0, 2] * 5 + [3, 0]
    p = probabilities(adapters, tokens, 5)
    expect(
        bool(p[3, 1] > p[3, 2] > p[3, 4]),
        what="of pairs never seen the one whose second token is frequent is the likelier",
        why="adding one to every count calls a word seen a thousand times and one never seen equally likely",
        counterexample=f"after 3: p(1) = {p[3, 1]:.4f}, p(2) = {p[3, 2]:.4f}, p(4) = {p[3, 4]:.4f}",
        case="1 came 40 times, 2 five times, 4 never; after 3 came only 0",
    )
    expect_close(
        p[4],
        oracle(tokens, 5)[4],
        what="after a token that was never seen the model falls back to how often each token comes at all",
        why="that is all it can know",
        atol=ATOL,
        case="after token 4, which never came",
    )


def test_follows_the_formula(adapters):
    for seed, (count, vocab_size) in enumerate([(2, 2), (3, 5), (40, 4), (500, 9)]):
        tokens = np.random.default_rng(seed).integers(0, vocab_size, count)
        expect_close(
            probabilities(adapters, tokens, vocab_size),
            oracle(tokens, vocab_size),
            what="p(b after a) = (count(a, b) + 5 q(b)) / (count(a) + 5), with q(b) = (count(b) + 1/V) / (N + 1), N "
            "pairs, and count(b) how often b comes second",
            why="the loss of this model is a number by which others are measured: everybody's must be the same",
            atol=ATOL,
            case=f"{count} tokens {tokens[:12].tolist()}, vocabulary of {vocab_size}",
        )


def test_loss_on_its_own_text_is_the_entropy_of_the_counts(adapters):
    tokens, _ = chain(20_000, seed=3)
    model = adapters.bigram_model(tokens.astype(np.uint16), 6)
    logits = logits_of(model, tokens[None, :-1])[0]
    got = float(-logits[np.arange(len(tokens) - 1), tokens[1:]].mean())
    counts = np.zeros((6, 6))
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    rows = counts.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = float(-np.nansum(counts * np.log(counts / rows)) / counts.sum())
    expect_close(
        got,
        entropy,
        what="the mean loss on the text it was counted from is the conditional entropy of the counts",
        why="no model of the last token alone can do better there: the closed form is what a trained one is "
        "checked against",
        atol=1e-3,  # what five imagined tokens a row cost among 20,000
        case=f"20,000 tokens of a chain of 6; entropy {entropy:.4f} nats per token",
    )


@pytest.mark.parametrize("dtype", [np.uint16, np.int64], ids=lambda dtype: dtype.__name__)
def test_large_token_ids_do_not_overflow(adapters, dtype):
    tokens = np.array([299, 298, 299, 0, 299, 298], dtype=dtype)
    model = adapters.bigram_model(tokens, 300)
    logits = logits_of(model, [[299]])[0, 0]
    want = oracle(tokens, 300)[299]
    expect_close(
        np.exp(logits)[[298, 0, 299, 43]],
        want[[298, 0, 299, 43]],
        what="ids are counted as what they are",
        why="a * vocab_size + b in uint16 wraps around: 299 * 300 becomes 24,164, another pair",
        atol=ATOL,
        case=f"tokens 299 298 299 0 299 298 as {np.dtype(dtype).name}, vocabulary of 300",
    )


def test_a_memory_map_will_do(adapters, tmp_path):
    tokens, _ = chain(500)
    tokens.astype(np.uint16).tofile(tmp_path / "tokens.bin")
    mapped = np.memmap(tmp_path / "tokens.bin", dtype=np.uint16, mode="r")
    model = adapters.bigram_model(mapped, 6)
    expect_close(
        np.exp(logits_of(model, np.arange(6)[None])[0]),
        oracle(tokens, 6),
        what="a read-only memory map is counted like any array",
        why="that is what Shards give",
        atol=ATOL,
    )
    expect_equal(mapped.tolist(), tokens.tolist(), what="the tokens are not changed", why="they are the data")


def test_probabilities_travel_with_the_model(adapters):
    tokens, _ = chain(400)
    model = adapters.bigram_model(tokens, 6)
    other = adapters.bigram_model(tokens[::-1].copy(), 6)
    other.load_state_dict(model.state_dict())
    ids = np.arange(6)[None]
    expect_close(
        logits_of(other, ids),
        logits_of(model, ids),
        what="what was counted is in state_dict(), as a buffer or a parameter",
        why="a checkpoint, and .to(device), carry what is registered; a plain attribute stays behind",
        atol=0.0,
        case="the state of one model loaded into another",
    )


def test_two_tokens_are_needed(adapters):
    for tokens in ([], [3]):
        try:
            adapters.bigram_model(np.array(tokens, dtype=np.uint16), 5)
        except Exception:
            continue
        expect(
            False,
            what="fewer than two tokens raise an error",
            why="they hold no pair: a path that leads to an empty file should not end as a model",
            counterexample=f"tokens {tokens} gave a model",
        )


def test_models_do_not_share_counts(adapters):
    first, _ = chain(300, seed=5)
    second, _ = chain(300, seed=6)
    adapters.bigram_model(first, 6)
    expect_close(
        probabilities(adapters, second, 6),
        oracle(second, 6),
        what="a second model begins to count at zero",
        why="counts kept outside the model mix two corpora",
        atol=ATOL,
        case="two models, one after the other",
    )
    expect(
        math.isclose(float(probabilities(adapters, first, 6).sum()), 6.0, abs_tol=1e-6),
        what="every row sums to one",
        why="they are probabilities",
    )
