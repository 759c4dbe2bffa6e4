"""Decoding: which token comes next, when it ends, what the model is shown, and what the caller notices of it.

The models here are tables: their logits are known, so every probability is. Distributions are compared by counting
draws; the bounds hold for any right implementation, whatever it does with the seed.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.harness.explain import expect, expect_close, expect_equal

DRAWS = 3000
SIGMAS = 5  # a fair draw leaves 5 sigma once in 1.7 million


class Table(nn.Module):
    """Logits that depend on the last token alone, and a note of everything the model was shown."""

    def __init__(self, logits, dtype=torch.float32) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor(np.array(logits), dtype=dtype))
        self.shown: list[list[int]] = []
        self.gradients: list[bool] = []

    def forward(self, token_ids, positions=None, attend=None):
        assert token_ids.ndim == 2, f"token_ids of shape {tuple(token_ids.shape)}, wanted (batch, seq)"
        assert token_ids.dtype == torch.long, f"token_ids of {token_ids.dtype}, wanted torch.long"
        self.shown.append(token_ids[0].tolist())
        self.gradients.append(torch.is_grad_enabled() and not torch.is_inference_mode_enabled())
        return self.table[token_ids]


def same_for_all(logits, dtype=torch.float32) -> Table:
    """The same distribution after every token: draws are independent."""
    return Table([logits] * len(logits), dtype)


def circle(size: int = 5) -> Table:
    """After token i comes i + 1, and after the last the first: almost certainly."""
    logits = np.full((size, size), -30.0)
    logits[np.arange(size), (np.arange(size) + 1) % size] = 30.0
    return Table(logits)


def generate(adapters, model, prompt=(0,), max_new_tokens=DRAWS, context_length=4, **settings) -> list[int]:
    prompt = torch.tensor(list(prompt), dtype=torch.long)
    return list(
        adapters.generate_tokens(
            model,
            prompt,
            max_new_tokens=max_new_tokens,
            context_length=context_length,
            **settings,
        )
    )


def expect_frequencies(tokens, probabilities, *, what, why, case) -> None:
    """Each token comes as often as its probability says; one of probability 0 never does."""
    want = np.array(probabilities, dtype=float)
    counts = np.bincount(np.array(tokens), minlength=len(want))
    expect_equal(
        len(tokens), DRAWS, what="as many tokens come as were asked for", why="an early end", case=case
    )
    for token, p in enumerate(want):
        sigma = math.sqrt(DRAWS * p * (1 - p))
        expect(
            bool(abs(counts[token] - DRAWS * p) <= SIGMAS * sigma + 1e-6),
            what=what,
            why=why,
            counterexample=f"token {token} came {counts[token]} times in {DRAWS}; wanted {DRAWS * p:.0f} +- "
            f"{sigma:.0f} (probability {p:.3f})\ngot {counts.tolist()}\nwanted "
            f"{[round(DRAWS * x) for x in want]}",
            case=case,
        )


def softmax(logits, temperature=1.0) -> np.ndarray:
    powers = np.exp((np.array(logits) - max(logits)) / temperature)
    return powers / powers.sum()


LOGITS = [0.0, 2.0, 1.0, -1.0, 1.5, 0.5]


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


def test_what_was_generated_is_shown_to_the_model(adapters):
    model = circle(5)
    expect_equal(
        generate(adapters, model, [2, 3], 7, context_length=64, temperature=0.0),
        [4, 0, 1, 2, 3, 4, 0],
        what="each new token continues the text that the ones before it have made",
        why="a loop that does not append shows the model the same prompt again and again",
        case="after token i comes i + 1 (of 5), prompt (2, 3), 7 tokens",
    )
    longest = max(model.shown, key=len)
    expect_equal(
        longest,
        [2, 3, 4, 0, 1, 2, 3, 4],
        what="the model is shown the prompt and all that was generated, in order",
        why="a model without its context writes unconnected words",
        case="the longest input that the model saw",
    )


def test_the_model_sees_the_last_tokens_of_its_context(adapters):
    model = circle(7)
    tokens = generate(adapters, model, [0, 1, 2, 3, 4], 6, context_length=3, temperature=0.0)
    expect_equal(tokens, [5, 6, 0, 1, 2, 3], what="a text longer than the context goes on", why="see below")
    expect_equal(
        model.shown[:6],
        [[2, 3, 4], [3, 4, 5], [4, 5, 6], [5, 6, 0], [6, 0, 1], [0, 1, 2]],
        what="the model sees the last context_length tokens, never more",
        why="positions beyond the context were never trained: the text falls apart, or a table of positions ends; "
        "and the beginning is not what is being continued",
        case="prompt (0, 1, 2, 3, 4), context_length 3: what the model saw at each step",
    )


@pytest.mark.parametrize("count", [0, 1, 5])
def test_as_many_tokens_as_asked_for(adapters, count):
    expect_equal(
        len(generate(adapters, circle(), [0, 1, 2], count)),
        count,
        what="without an end-of-text token exactly max_new_tokens come, the prompt not counted",
        why="the limit is what keeps a model that never stops from running for ever",
        case=f"prompt of 3 tokens, max_new_tokens {count}",
    )


@pytest.mark.parametrize("end", [4, 0])
def test_end_token_is_given_out_and_ends_the_text(adapters, end):
    model = circle(5)
    want = [2, 3, 4, 0][: [2, 3, 4, 0].index(end) + 1]
    expect_equal(
        generate(adapters, model, [1], 20, temperature=0.0, end_token=end),
        want,
        what="the end-of-text token is the last one that comes",
        why="what follows it is another document; and the caller tells an end from a cut by this token",
        case=f"after i comes i + 1 (of 5), prompt (1), end_token {end}",
    )
    expect_equal(
        len(model.shown),
        len(want),
        what="after the end the model is not asked again",
        why="each call costs as much as all the tokens before it",
        case=f"number of calls for {len(want)} tokens",
    )


def test_end_token_in_the_prompt_does_not_end(adapters):
    expect_equal(
        generate(adapters, circle(5), [4, 4], 3, temperature=0.0, end_token=4),
        [0, 1, 2],
        what="only a generated end-of-text token ends the text",
        why="a prompt of just that token is how one asks for a new document",
        case="after i comes i + 1 (of 5), prompt (4, 4), end_token 4",
    )


def test_no_end_token_means_no_end(adapters):
    expect_equal(
        generate(adapters, circle(3), [0], 7, temperature=0.0, end_token=None),
        [1, 2, 0, 1, 2, 0, 1],
        what="with end_token=None every token is an ordinary one",
        why="which id ends a text is the tokenizer's affair",
        case="after i comes i + 1 (of 3)",
    )


def test_seed_decides_and_nothing_else(adapters):
    model = same_for_all([0.0] * 50)
    torch.manual_seed(1)
    first = generate(adapters, model, max_new_tokens=30, seed=11)
    torch.manual_seed(2)
    torch.rand(5)
    again = generate(adapters, model, max_new_tokens=30, seed=11)
    other = generate(adapters, model, max_new_tokens=30, seed=12)
    expect_equal(
        again,
        first,
        what="the same seed gives the same text, whatever the global generator was doing",
        why="a sample that cannot be repeated cannot be looked into; a server answers many requests at once",
        case="50 equally likely tokens, seed 11 twice, torch seeded differently before",
    )
    expect(
        other != first,
        what="another seed gives another text",
        why="otherwise all samples are one",
        counterexample=f"seeds 11 and 12 both gave {first}",
    )
    expect(
        len(set(first)) > 10,
        what="each step draws anew",
        why="a generator seeded inside the loop draws the same number at every step",
        counterexample=f"30 draws of 50 equally likely tokens gave {first}",
    )


def test_global_generators_are_left_alone(adapters):
    def after(work) -> list[float]:
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        work()
        return [torch.rand(1).item(), float(np.random.rand())]  # noqa: NPY002

    model = same_for_all([0.0] * 5)
    expect_equal(
        after(lambda: generate(adapters, model, max_new_tokens=4)),
        after(lambda: None),
        what="generation draws from a generator of its own",
        why="samples written in the middle of a training would change its later batches",
        case="the next number of torch's and numpy's global generators",
    )


def test_tokens_come_one_by_one(adapters):
    model = circle(5)
    stream = adapters.generate_tokens(
        model, torch.tensor([0]), max_new_tokens=100, context_length=8, temperature=0.0
    )
    first = list(itertools.islice(iter(stream), 3))
    expect_equal(first, [1, 2, 3], what="tokens come in order", why="see below")
    expect(
        len(model.shown) <= 4,
        what="each token is given out as soon as it is known",
        why="a reader sees the first word at once, and one who has seen enough stops paying for the rest",
        counterexample=f"for the first 3 of 100 tokens the model was called {len(model.shown)} times",
    )
    expect(
        all(type(token) is int for token in first),
        what="tokens are Python ints",
        why="a tokenizer's decode looks them up in a dict, where a tensor is never found",
        counterexample=f"got {first!r}",
    )


def test_no_gradients_are_recorded(adapters):
    model = circle(5)
    torch.set_grad_enabled(True)
    stream = iter(adapters.generate_tokens(model, torch.tensor([0]), max_new_tokens=3, context_length=8))
    next(stream)
    is_on_between = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    list(stream)
    expect(
        not any(model.gradients),
        what="the model is called without recording gradients",
        why="the graph of every step would be kept: memory grows with each token",
        counterexample=f"gradients were enabled in calls {[i for i, on in enumerate(model.gradients) if on]}",
    )
    expect(
        is_on_between,
        what="between two tokens the caller's gradient mode is as it was",
        why="a `with torch.no_grad()` around a yield stays on while the caller works: a training step between "
        "two tokens learns nothing",
        counterexample="gradients were off in the caller after the first token",
    )


def test_arguments_are_not_changed(adapters):
    model, prompt = circle(5), torch.tensor([0, 1])
    table = model.table.detach().clone()
    model.eval()
    list(
        adapters.generate_tokens(model, prompt, max_new_tokens=4, context_length=8, temperature=0.7, top_k=2)
    )
    expect_equal(
        (prompt.tolist(), model.table.detach().numpy(), model.training),
        ([0, 1], table.numpy(), False),
        what="prompt, weights and the model's mode are left as they were",
        why="the same prompt is used for the next sample; in-place division of logits may write into the model",
        case="prompt (0, 1), a table of logits, temperature 0.7, top_k 2",
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
