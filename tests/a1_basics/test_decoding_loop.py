"""Decoding as a loop: what the model is shown, when the text ends, and what the caller notices of it."""

import itertools

import numpy as np
import pytest
import torch

from tests.a1_basics.table_models import circle, generate, same_for_all
from tests.harness.explain import expect, expect_equal


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
