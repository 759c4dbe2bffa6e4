"""Evaluation: every token but the first is predicted once, from enough of what stands before it.

The models here know the answer by construction: one is a bigram table, so that windows cannot matter; one says how
much of its window it has seen, so that they can be counted.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.harness.explain import expect, expect_close, expect_equal

VOCAB = 8
BYTES = np.array([1, 3, 2, 5, 1, 4, 2, 0])  # the last stands for no text
ATOL = 1e-3  # sums of a few hundred float32 losses


class Table(nn.Module):
    """Log-probabilities that depend on the last token alone."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        logits = np.random.default_rng(seed).standard_normal((VOCAB, VOCAB)) * 2
        self.table = nn.Parameter(
            torch.tensor(logits - np.log(np.exp(logits).sum(-1, keepdims=True))).float()
        )
        self.shapes: list[tuple[int, ...]] = []
        self.gradients: list[bool] = []

    def forward(self, token_ids, positions=None, attend=None):
        self.shapes.append(tuple(token_ids.shape))
        self.gradients.append(torch.is_grad_enabled() and not torch.is_inference_mode_enabled())
        return self.table[token_ids]

    def nats(self, tokens) -> np.ndarray:
        """The loss of every token but the first."""
        table = self.table.detach().double().numpy()
        tokens = np.asarray(tokens, dtype=np.int64)
        return -table[tokens[:-1], tokens[1:]]


class Ruler(nn.Module):
    """The loss of a token below 7 is ln 7 and the number of tokens that the model saw before it, whatever they are."""

    def __init__(self) -> None:
        super().__init__()
        self.anything = nn.Parameter(torch.zeros(1))

    def forward(self, token_ids, positions=None, attend=None):
        seen = torch.arange(1, token_ids.shape[1] + 1).double()
        p = torch.exp(-seen)[
            :, None
        ]  # of seven tokens together; the eighth, which the text lacks, has the rest
        logits = torch.cat(((p / (VOCAB - 1)).expand(-1, VOCAB - 1), 1 - p), dim=-1).log()
        return logits.expand(len(token_ids), -1, -1).float()


def tokens(count: int, seed: int = 1, dtype=np.uint16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCAB, count).astype(dtype)


def evaluate(adapters, model, data, context_length=8, **settings):
    return adapters.evaluate_model(
        model=model, tokens=data, token_bytes=BYTES, context_length=context_length, **settings
    )


@pytest.mark.parametrize(
    ("count", "context_length", "batch_size", "stride"),
    [(97, 8, 4, None), (97, 8, 1, None), (97, 12, 64, 4), (97, 12, 3, 1), (96, 95, 2, None), (33, 8, 4, 8)],
)
def test_every_token_but_the_first_is_predicted_once(adapters, count, context_length, batch_size, stride):
    model, data = Table(), tokens(count)
    found = evaluate(
        adapters, model, data, context_length, batch_size=batch_size, **({"stride": stride} if stride else {})
    )
    case = f"{count} tokens, context {context_length}, batch {batch_size}, stride {stride}"
    why = (
        "a bigram model does not care how the text is cut into windows: a token that is missed, counted twice or "
        "made up by padding shows"
    )
    expect_equal(
        found.tokens, count - 1, what="every token but the first is counted once", why=why, case=case
    )
    expect_close(
        found.nats,
        model.nats(data).sum(),
        what="nats is the sum of the losses of these tokens",
        why=why,
        atol=ATOL,
        case=case,
    )
    expect_equal(
        found.num_bytes,
        int(BYTES[data[1:]].sum()),
        what="num_bytes is the length of the text of the predicted tokens",
        why="bits per byte divides by it; the first token is given, so its text is not paid for",
        case=case,
    )


@pytest.mark.parametrize("count", [2, 3, 8, 9, 10, 16, 17, 18])
def test_short_texts_and_ragged_ends(adapters, count):
    model, data = Table(), tokens(count)
    found = evaluate(adapters, model, data, 8, batch_size=4)
    expect_equal(
        (found.tokens, found.num_bytes),
        (count - 1, int(BYTES[data[1:]].sum())),
        what="a last window that is not full counts for the tokens that it has",
        why="dropping it loses the end of the text, padding it counts tokens that are not there",
        case=f"{count} tokens, context 8",
    )
    expect_close(
        found.nats,
        model.nats(data).sum(),
        what="and its loss is that of these tokens",
        why="as before",
        atol=ATOL,
        case=f"{count} tokens, context 8",
    )


def seen_by_each(count: int, context_length: int, stride: int) -> list[int]:
    """How many tokens a prediction may look back on: the first window's all, then those a stride has added."""
    counts, start = [], 0
    while len(counts) < count - 1:
        first = 0 if start == 0 else context_length - stride
        counts += list(range(first + 1, context_length + 1))
        start += stride
    return counts[: count - 1]


@pytest.mark.parametrize("stride", [None, 4, 2, 1])
def test_stride_decides_how_much_is_seen(adapters, stride):
    count, context_length = 41, 6
    found = evaluate(
        adapters,
        Ruler(),
        tokens(count, dtype=np.int64) % (VOCAB - 1),
        context_length,
        **({"stride": stride} if stride else {}),
    )
    want = sum(seen_by_each(count, context_length, stride or context_length))
    want += (count - 1) * math.log(VOCAB - 1)
    least = context_length - (stride or context_length)
    expect_close(
        found.nats,
        want,
        what="each token is predicted from at least context_length - stride others, the first window excepted",
        why="the first tokens of a window know next to nothing of what stands before: at full stride a model looks "
        "worse than it is, with a small stride it shows what it can",
        atol=1e-3 * want,
        case=f"{count} tokens, context {context_length}, stride {stride}: at least {least} seen; the loss of a token "
        "is ln 7 + how many the model saw",
    )


def test_uniform_guessing_costs_the_logarithm_of_the_vocabulary(adapters):
    model, data = Table(), tokens(65)
    with torch.no_grad():
        model.table.zero_()
    found = evaluate(adapters, model, data)
    expect_close(
        [found.nats_per_token, found.bits_per_byte],
        [math.log(VOCAB), 64 * math.log2(VOCAB) / BYTES[data[1:]].sum()],
        what="a model that knows nothing has ln(vocab) nats per token; bits per byte are those over ln 2 and the bytes",
        why="it is the first number to look at in every training",
        atol=1e-5,
        case="equal logits, 8 tokens",
    )


def test_logits_of_any_height_will_do(adapters):
    model, data = Table(), tokens(50)
    want = evaluate(adapters, model, data).nats
    with torch.no_grad():
        model.table += 2000.0
    expect_close(
        evaluate(adapters, model, data).nats,
        want,
        what="logits are compared with each other: a constant added to all changes nothing",
        why="exp(2000) is infinite; take the largest off first",
        atol=0.05,  # float32 at 2000 keeps four decimals
        case="all logits raised by 2000",
    )


def test_tokens_without_text_are_counted_but_have_no_bytes(adapters):
    data = np.array([0, 7, 7, 1, 7], dtype=np.uint16)
    model = Table()
    found = evaluate(adapters, model, data)
    expect_equal(
        (found.tokens, found.num_bytes),
        (4, 3),
        what="a special token costs nats and stands for no bytes",
        why="the end of a document has to be predicted too, and is no part of the text",
        case=f"tokens {data.tolist()}; token 7 is special, token 1 has 3 bytes",
    )
    expect_close(found.nats, model.nats(data).sum(), what="its loss is counted", why="as above", atol=ATOL)


def test_max_batches_stops_early(adapters):
    model, data = Table(), tokens(200)
    found = evaluate(adapters, model, data, 8, batch_size=3, max_batches=2)
    expect_equal(
        found.tokens,
        48,
        what="max_batches batches of batch_size windows are counted, from the beginning",
        why="a training looks at a part of the held-out text only, and always at the same part",
        case="200 tokens, context 8, batch 3, max_batches 2",
    )
    expect_close(
        found.nats,
        model.nats(data[:49]).sum(),
        what="their losses are those of the first tokens",
        why="see above",
        atol=ATOL,
    )


def test_progress_is_told(adapters):
    calls = []
    evaluate(
        adapters,
        Table(),
        tokens(81),
        8,
        batch_size=3,
        on_batch=lambda done, total: calls.append((done, total)),
    )
    expect_equal(
        calls,
        [(1, 4), (2, 4), (3, 4), (4, 4)],
        what="on_batch(done, total) is called after each batch",
        why="an evaluation of minutes shows how far it is",
        case="80 predictions, context 8, batch 3: ten windows in four batches",
    )


def test_batches_are_as_large_as_asked(adapters):
    model = Table()
    evaluate(adapters, model, tokens(200), 10, batch_size=4)
    too_large = [shape for shape in model.shapes if shape[0] > 4 or shape[1] > 10]
    expect(
        not too_large and max(shape[0] for shape in model.shapes) == 4,
        what="the model sees at most batch_size windows of at most context_length tokens, and batches are filled",
        why="memory decides what fits; windows one by one take many times as long",
        counterexample=f"shapes seen: {sorted(set(model.shapes))}",
        case="200 tokens, context 10, batch 4",
    )


def test_nothing_is_recorded_or_changed(adapters):
    model, data = Table(), tokens(60)
    before, table = data.copy(), model.table.detach().clone()
    model.train()
    evaluate(adapters, model, data)
    expect(
        not any(model.gradients),
        what="the model is called without recording gradients",
        why="the graph of a whole evaluation does not fit into memory",
        counterexample="gradients were enabled",
    )
    expect_equal(
        (data, model.table.detach().numpy(), model.table.grad is None),
        (before, table.numpy(), True),
        what="tokens and weights are left as they are",
        why="an evaluation in the middle of a training must leave no trace",
    )
    expect(
        model.training,
        what="a model in training mode is in training mode afterwards",
        why="dropout that stays off from the first evaluation on trains another model",
        counterexample="model.training is False after the evaluation",
    )


def test_result_holds_plain_sums(adapters):
    found = evaluate(adapters, Table(), tokens(30))
    got = SimpleNamespace(nats=found.nats, tokens=found.tokens, num_bytes=found.num_bytes)
    for name, kind in (("nats", float), ("tokens", int), ("num_bytes", int)):
        value = getattr(got, name)
        expect(
            type(value) is kind,
            what="the result is an Evaluation of plain numbers: nats, tokens, num_bytes",
            why="sums can be added over files and machines, ratios cannot; JSON takes no tensors",
            counterexample=f"{name} is {value!r}, a {type(value).__name__}",
        )
