"""Decoding: which token comes next. Draws from models whose probabilities are known are counted."""

import itertools
import math

import numpy as np
import pytest
import torch

from tests.a1_basics.table_models import (
    DRAWS,
    LOGITS,
    SIGMAS,
    Table,
    expect_frequencies,
    generate,
    same_for_all,
    softmax,
)
from tests.harness.explain import expect, expect_close, expect_equal


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_tokens_are_drawn_from_the_softmax(adapters, temperature):
    expect_frequencies(
        generate(adapters, same_for_all(LOGITS), temperature=temperature),
        softmax(LOGITS, temperature),
        what="tokens are drawn from softmax(logits / temperature)",
        why="below 1 the likely become likelier, above 1 rarer words get their chance; multiplied instead of "
        "divided, or forgotten, the setting does the opposite, or nothing",
        case=f"logits {LOGITS}, temperature {temperature:g}, no top_k, no top_p",
    )


def test_defaults_are_plain_sampling(adapters):
    expect_frequencies(
        generate(adapters, same_for_all(LOGITS)),
        softmax(LOGITS),
        what="without settings tokens are drawn from softmax(logits)",
        why="temperature 1, all tokens: the model's own distribution",
        case=f"logits {LOGITS}",
    )


def test_temperature_zero_takes_the_most_probable(adapters):
    table = np.random.default_rng(0).permutation(64).reshape(8, 8) * 0.001
    want, token = [], 3
    for _ in range(20):
        token = int(np.argmax(table[token]))
        want.append(token)
    for seed in range(3):
        expect_equal(
            generate(adapters, Table(table), [3], 20, temperature=0.0, seed=seed),
            want,
            what="temperature 0 takes the most probable token at each step, whatever the seed",
            why="it is the limit of small temperatures, not a division by zero; evaluations and comparisons rest "
            "on it",
            case=f"8 tokens whose logits lie 0.001 apart, 20 steps, seed {seed}",
        )


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_top_k_keeps_the_k_most_probable(adapters, top_k):
    p = softmax(LOGITS)
    kept = np.argsort(-p)[:top_k]
    want = np.zeros_like(p)
    want[kept] = p[kept] / p[kept].sum()
    expect_frequencies(
        generate(adapters, same_for_all(LOGITS), top_k=top_k),
        want,
        what="top_k keeps the k most probable tokens, in their proportions, and no other",
        why="thousands of unlikely tokens have together enough probability to derail a text every few words",
        case=f"logits {LOGITS}, top_k {top_k}",
    )


def test_top_k_beyond_the_vocabulary_keeps_everything(adapters):
    expect_frequencies(
        generate(adapters, same_for_all(LOGITS), top_k=100),
        softmax(LOGITS),
        what="a top_k larger than the vocabulary keeps all tokens",
        why="50 is a usual default, and a toy vocabulary may be smaller",
        case=f"logits {LOGITS} (6 tokens), top_k 100",
    )


# Probabilities as they stand; sums of eighths and sixteenths are exact, so that no rounding decides a border.
NUCLEUS = [0.125, 0.5, 0.0625, 0.25, 0.0625]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (0.01, [1]),
        (0.45, [1]),
        (0.55, [1, 3]),
        (0.7, [1, 3]),
        (0.8, [1, 3, 0]),
        (0.99, [0, 1, 2, 3, 4]),
        (1.0, [0, 1, 2, 3, 4]),
    ],
)
def test_top_p_keeps_the_fewest_that_reach_p(adapters, top_p, kept):
    p = np.array(NUCLEUS)
    want = np.zeros_like(p)
    want[kept] = p[kept] / p[kept].sum()
    expect_frequencies(
        generate(adapters, same_for_all(np.log(p)), top_p=top_p),
        want,
        what="top_p keeps the fewest tokens, the most probable first, whose probabilities sum to at least p",
        why="the token that crosses the bound belongs to them: without it a small p keeps nothing, and p=0.9 may "
        "keep half the probability",
        case=f"probabilities {NUCLEUS}, top_p {top_p:g}: tokens {kept} are kept",
    )


@pytest.mark.parametrize(("top_p", "kept"), [(0.2, [2]), (0.5, [2, 0]), (0.9, [2, 0, 3, 1])])
def test_top_p_of_a_flat_distribution(adapters, top_p, kept):
    p = np.array([0.26, 0.22, 0.28, 0.24])
    want = np.zeros_like(p)
    want[kept] = p[kept] / p[kept].sum()
    expect_frequencies(
        generate(adapters, same_for_all(np.log(p)), top_p=top_p),
        want,
        what="it is the sum of the probabilities that counts, not their ratio to the largest",
        why="where many continuations are about equally good, p=0.5 is meant to keep the better half of them",
        case=f"probabilities {p.tolist()}, top_p {top_p:g}: tokens {kept} are kept",
    )


def test_temperature_acts_before_top_p(adapters):
    p = softmax(np.log(NUCLEUS), 0.5)  # 0.04, 0.73, 0.01, 0.18, 0.01 nearly
    want = np.zeros_like(p)
    want[1] = 1.0
    expect_frequencies(
        generate(adapters, same_for_all(np.log(NUCLEUS)), temperature=0.5, top_p=0.7),
        want,
        what="top_p counts the probabilities that the temperature has made",
        why="both settings are published together: in the other order the same two numbers mean another "
        "distribution",
        case=f"probabilities {NUCLEUS}, temperature 0.5 makes {np.round(p, 2).tolist()}, of which top_p=0.7 keeps "
        "token 1 alone",
    )


def test_top_k_acts_before_top_p(adapters):
    # Of two tokens kept by top_k=2, with 2/3 and 1/3, p=0.6 keeps the first; of all, it keeps both.
    want = np.zeros(5)
    want[1] = 1.0
    expect_frequencies(
        generate(adapters, same_for_all(np.log(NUCLEUS)), top_k=2, top_p=0.6),
        want,
        what="top_p counts the probabilities that top_k has left, summing to one again",
        why="both settings are published together, in this order",
        case=f"probabilities {NUCLEUS}, top_k=2 leaves 2/3 and 1/3, of which top_p=0.6 keeps the first",
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_large_and_infinite_logits_are_no_trouble(adapters, dtype):
    logits = [20000.0, -math.inf, 20000.0, -20000.0]
    expect_frequencies(
        generate(adapters, same_for_all(logits, dtype), temperature=0.25),
        [0.5, 0.0, 0.5, 0.0],
        what="logits of any size, and -inf for what may never come, give finite probabilities",
        why="exp(20000) overflows, 20000 / 0.25 does so in float16, and one NaN ends the generation",
        case=f"logits {logits} in {dtype}, temperature 0.25",
    )


@pytest.mark.parametrize(
    "settings", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"top_k": 0}, {"top_k": -3}], ids=str
)
def test_meaningless_settings_are_refused(adapters, settings):
    try:
        got = generate(adapters, same_for_all(LOGITS), max_new_tokens=5, **settings)
    except Exception:
        return
    expect(
        False,
        what="a negative temperature, a top_p outside (0, 1] or a top_k below 1 raises an error",
        why="the text comes out anyway, from a distribution that nobody asked for",
        counterexample=f"{settings} gave {got}",
    )


def test_probabilities_follow_the_context(adapters):
    p = np.array([[0.1, 0.9], [0.7, 0.3]])
    tokens = [0, *generate(adapters, Table(np.log(p)), [0], seed=4)]
    pairs = np.zeros((2, 2))
    for before, after in itertools.pairwise(tokens):
        pairs[before, after] += 1
    rates = pairs[:, 1] / pairs.sum(axis=1)
    expect_close(
        rates,
        p[:, 1],
        what="each token is drawn from the distribution that the model gives after the last one",
        why="logits of another position than the last, or of the step before, belong to another token",
        atol=SIGMAS * 0.5 / math.sqrt(pairs.sum(axis=1).min()),
        case=f"after 0 comes 1 with 0.9, after 1 with 0.3; {DRAWS} draws: how often 1 came after each",
    )
