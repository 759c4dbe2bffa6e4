"""Laws of the draw: batch = one by one = Hugging Face's processors; frequencies are the distribution's."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from a2_systems.inference.sampling import (
    draw_number,
    drawn_tokens,
    token_distribution,
    token_distributions,
)
from shared.doors.inference import SamplingParams

PARAMS = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_k=st.sampled_from([None, 1, 3, 1000]),
    top_p=st.sampled_from([None, 0.05, 0.5, 0.95, 1.0]),
    min_p=st.sampled_from([None, 0.0, 0.1, 1.0]),
    repetition_penalty=st.sampled_from([0.5, 1.0, 1.7]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PARAMS, min_size=1, max_size=5), st.integers(0, 10_000))
def test_a_batch_is_its_rows_one_by_one(params, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(len(params), 50, generator=generator)
    earlier = [torch.randint(50, (7,), generator=generator).tolist() for _ in params]
    before = logits.clone()
    batch = token_distributions(logits, params, earlier)
    assert torch.equal(logits, before), "the model's logits are still needed"
    for row, one in enumerate(params):
        alone = token_distribution(logits[row], one, earlier[row])
        torch.testing.assert_close(batch[row], alone, rtol=1e-5, atol=1e-7)  # sums in another order
    torch.testing.assert_close(batch.sum(-1), torch.ones(len(params)))


@settings(max_examples=60, deadline=None)
@given(PARAMS.filter(lambda params: params.temperature > 0), st.integers(0, 1000))
def test_the_distribution_is_that_of_hugging_faces_processors(params, seed):
    transformers = pytest.importorskip("transformers", reason="not checked: needs the extra hf")
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(1, 50, generator=generator)
    earlier = torch.randint(50, (1, 9), generator=generator)
    scores = transformers.RepetitionPenaltyLogitsProcessor(params.repetition_penalty)(earlier, logits)
    scores = transformers.TemperatureLogitsWarper(params.temperature)(earlier, scores)
    if params.top_k is not None:
        scores = transformers.TopKLogitsWarper(params.top_k)(earlier, scores)
    if params.top_p is not None:
        scores = transformers.TopPLogitsWarper(params.top_p)(earlier, scores)
    if params.min_p is not None:
        scores = transformers.MinPLogitsWarper(params.min_p)(earlier, scores)
    wanted = scores.softmax(-1)[0]
    ours = token_distribution(logits[0], params, earlier[0].tolist())
    torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-6)  # theirs sums from the other end


def test_frequencies_are_the_distributions():
    """40,000 draws by the numbers of requests; chi-square, 99.9 % quantile of 5 degrees of freedom: 20.5."""
    wanted = torch.tensor([0.4, 0.25, 0.2, 0.1, 0.04, 0.01])
    numbers = [draw_number(seed, position) for seed in range(200) for position in range(200)]
    drawn = drawn_tokens(wanted.expand(len(numbers), -1), numbers)
    counts = torch.bincount(drawn, minlength=6)
    expected = wanted * len(numbers)
    assert float(((counts - expected) ** 2 / expected).sum()) < 20.5


def test_a_token_of_probability_zero_is_never_drawn_at_any_number():
    rows = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]])
    largest = math.nextafter(1.0, 0.0)
    assert [int(drawn_tokens(rows, [number])) for number in (0.0, 0.49, 0.51, largest)] == [1, 1, 3, 3]


def test_one_token_always_stays():
    logits = torch.tensor([2.0, 1.0, 0.0])
    for params in (SamplingParams(top_p=1e-9), SamplingParams(min_p=1.0), SamplingParams(top_k=1)):
        assert token_distribution(logits, params, []).tolist() == [1.0, 0.0, 0.0]


def test_a_request_draws_the_same_numbers_whenever_it_is_begun_again():
    assert draw_number(5, 17) == draw_number(5, 17)
    assert len({draw_number(seed, position) for seed in range(30) for position in range(30)}) == 900
