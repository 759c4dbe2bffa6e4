"""Laws of speculative decoding: whatever is guessed, the answer is distributed as the target's own."""

import random

import pytest
import torch

from a1_basics.adapters import build_model
from a2_systems.inference.kv_cache import greedy_tokens
from a2_systems.inference.sampling import draw_number, drawn_tokens
from a2_systems.inference.speculative import (
    GUESS,
    KEEP,
    REPLACE,
    accepted_tokens,
    looked_up,
    speculative_tokens,
)
from shared.doors.inference import SamplingParams
from shared.doors.protocols import ModelConfig

SHAPE = ModelConfig(53, 48, 32, 2, 4, 64)


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    models = build_model(SHAPE).double().eval(), build_model(SHAPE).double().eval()
    with torch.no_grad():
        for parameter in models[0].parameters():
            parameter.mul_(2)
        for mine, others in zip(models[1].parameters(), models[0].parameters(), strict=True):
            mine.copy_(
                others + 0.1 * torch.randn_like(others) * others.abs().mean()
            )  # a draft that is often right
    return models


@pytest.mark.parametrize("num_guesses", [1, 2, 5])
def test_greedy_tokens_are_the_targets_own(models, num_guesses):
    rng = random.Random(0)
    passes = 0
    for seed in range(6):
        prompt = torch.tensor([rng.randrange(53) for _ in range(rng.randrange(1, 20))])
        params = SamplingParams(max_new_tokens=25, temperature=0, seed=seed)
        steps = list(speculative_tokens(models[0], SHAPE, models[1], SHAPE, prompt, params, num_guesses))
        wanted = [int(token) for token in greedy_tokens(models[0], SHAPE, prompt[None], 25)]
        assert [token for step in steps for token in step] == wanted
        passes += len(steps)
    assert passes < 6 * 25, "not one guess was kept"


def test_the_first_tokens_are_distributed_as_the_targets_own():
    """Three tokens of a chain with known distributions, 15,000 answers, against the exact joint probabilities.

    Chi-square over 27 outcomes; 99.9 % quantile of 26 degrees of freedom: 54.1. Fixed seeds, always the same.
    """
    generator = torch.Generator().manual_seed(1)
    target = torch.softmax(torch.randn(4, 3, 3, generator=generator), -1)  # position, token before, token
    draft = torch.softmax(torch.randn(4, 3, 3, generator=generator), -1)
    num_answers = 15_000
    counts = torch.zeros(3, 3, 3)
    for seed in range(num_answers):
        answer: list[int] = []
        while len(answer) < 3:
            before, start, guesses, drafts = (answer or [0])[-1], len(answer), [], []
            for position in range(start, start + 2):
                drafts.append(draft[position, before])
                [before] = drawn_tokens(drafts[-1][None], [draw_number(seed, position, GUESS)]).tolist()
                guesses.append(before)
            known = [(answer or [0])[-1], *guesses]
            targets = torch.stack([target[min(start + i, 3), token] for i, token in enumerate(known)])
            numbers = [
                [draw_number(seed, start + i, purpose) for i in range(3)] for purpose in (KEEP, REPLACE)
            ]
            answer += accepted_tokens(targets, torch.stack(drafts), guesses, *numbers)
        counts[tuple(answer[:3])] += 1
    exact = target[0, 0][:, None, None] * target[1][:, :, None] * target[2][None]
    expected = exact * num_answers
    assert float(((counts - expected) ** 2 / expected).sum()) < 54.1


def test_a_draft_that_is_the_target_is_always_right(models):
    params = SamplingParams(max_new_tokens=20, temperature=0.8, top_p=0.9)
    steps = list(speculative_tokens(models[0], SHAPE, models[0], SHAPE, torch.tensor([1, 2, 3]), params, 4))
    assert [len(step) for step in steps] == [5, 5, 5, 5]


def test_an_answer_ends_with_its_stop_token(models):
    prompt = torch.tensor([3, 4])
    free = SamplingParams(max_new_tokens=20, temperature=0)
    tokens = [token for step in speculative_tokens(*_both(models), prompt, free, 3) for token in step]
    stopped = SamplingParams(max_new_tokens=20, temperature=0, stop_tokens=(tokens[6],))
    found = [token for step in speculative_tokens(*_both(models), prompt, stopped, 3) for token in step]
    assert found == tokens[: tokens.index(tokens[6]) + 1]


def _both(models):
    return models[0], SHAPE, models[1], SHAPE


def test_a_guess_follows_the_longest_end_that_was_said_before():
    assert looked_up([1, 2, 3, 7, 2, 3, 8, 1, 2, 3], 2) == [
        7,
        2,
    ]  # three tokens agree, though "2 3 8" is nearer
    assert looked_up([5, 6], 4) == []
    assert looked_up([5, 5], 4) == [5]
    assert looked_up([1], 4) == []
