"""The inside of training: loss, optimizer, clipping, batches, the step's state, evaluation and sampling."""

import io
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from a1_basics.model.bigram import Bigram
from a1_basics.training.adamw import AdamW, ForeachAdamW
from a1_basics.training.batches import random_batch
from a1_basics.training.checkpoint import load_checkpoint, save_checkpoint
from a1_basics.training.clip import clip_gradients
from a1_basics.training.evaluate import evaluate
from a1_basics.training.loss import cross_entropy
from a1_basics.training.sample import Sampling, next_token_probabilities, sample_tokens
from a1_basics.training.schedule import cosine_schedule
from a1_basics.training.step import TrainState, gradient_norm, parameter_groups
from shared.errors import DataError
from shared.runs.seeded import seeded


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_cross_entropy_equals_the_library_in_any_leading_shape():
    logits, targets = torch.randn(2, 3, 5, 11), torch.randint(11, (2, 3, 5))
    wanted = F.cross_entropy(logits.flatten(0, -2), targets.flatten())
    torch.testing.assert_close(cross_entropy(logits, targets), wanted)


def test_cross_entropy_survives_huge_logits_and_their_slopes():
    logits = torch.tensor([[1e5, -1e5, 0.0]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([1]))
    loss.backward()
    assert loss.item() == 2e5
    assert torch.equal(logits.grad, torch.tensor([[1.0, -1.0, 0.0]]))


def trained(optimizer_class, steps=5):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Tanh(), torch.nn.Linear(9, 2))
    late = model[2].bias
    optimizer = optimizer_class(parameter_groups(model, 0.1), lr=1e-2, betas=(0.9, 0.95))
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 6)).square().sum().backward()
        if step < 2:
            late.grad = None  # a parameter that joins later is younger than the others
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


class ListsOnly(ForeachAdamW):
    """What ForeachAdamW does on a GPU, here on the CPU."""

    def update(self, parameters, group):
        self.update_lists(parameters, group)


@pytest.mark.parametrize("optimizer_class", [ForeachAdamW, ListsOnly])
def test_fast_adamw_is_the_clear_one_bit_for_bit(optimizer_class):
    for clear, fast in zip(trained(AdamW), trained(optimizer_class), strict=True):
        assert torch.equal(clear, fast)


def test_adamw_equals_torch():
    for ours, theirs in zip(trained(AdamW), trained(torch.optim.AdamW), strict=True):
        # Torch folds the corrections in another order: a few units in the last place, over five steps.
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_adamw_refuses_impossible_settings():
    for wrong in ({"lr": -1.0}, {"betas": (1.0, 0.9)}, {"eps": -1e-8}, {"weight_decay": -0.1}):
        with pytest.raises(ValueError, match="must"):
            AdamW([torch.nn.Parameter(torch.zeros(1))], **wrong)


def test_adamw_returns_the_closures_loss():
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = AdamW([parameter])

    def closure():
        loss = parameter.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 1.0


def test_vectors_do_not_decay():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    decayed, spared = parameter_groups(model, 0.1)
    assert [tuple(parameter.shape) for parameter in decayed["params"]] == [(3, 2)]
    assert (decayed["weight_decay"], spared["weight_decay"], len(spared["params"])) == (0.1, 0.0, 3)


@given(
    warmup=st.integers(0, 50),
    cosine=st.integers(1, 100),
    top=st.floats(1e-6, 1.0),
    bottom_fraction=st.floats(0.0, 1.0),
)
def test_schedule_rises_then_falls_and_never_leaves_its_bounds(warmup, cosine, top, bottom_fraction):
    settings = {
        "max_learning_rate": top,
        "min_learning_rate": top * bottom_fraction,
        "warmup_steps": warmup,
        "cosine_end_step": warmup + cosine,
    }
    rates = [cosine_schedule(step, **settings) for step in range(warmup + cosine + 3)]
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert rates[warmup] == pytest.approx(top, rel=1e-12)  # min + (max - min) rounds once
    assert all(
        later <= earlier + 1e-12 for earlier, later in zip(rates[warmup:], rates[warmup + 1 :], strict=False)
    )
    assert rates[-1] == settings["min_learning_rate"]


def test_schedule_without_cosine_or_warmup_divides_by_nothing():
    assert (
        cosine_schedule(0, max_learning_rate=1.0, min_learning_rate=0.0, warmup_steps=0, cosine_end_step=0)
        == 1
    )
    assert (
        cosine_schedule(1, max_learning_rate=1.0, min_learning_rate=0.0, warmup_steps=0, cosine_end_step=0)
        == 0
    )


@pytest.mark.parametrize("max_norm", [0.01, 1e6])
def test_clipping_equals_the_library_and_tells_the_norm_before(max_norm):
    ours = [torch.nn.Parameter(torch.zeros(3, 4)), torch.nn.Parameter(torch.zeros(5))]
    theirs = [torch.nn.Parameter(torch.zeros(3, 4)), torch.nn.Parameter(torch.zeros(5))]
    for one, other in zip(ours, theirs, strict=True):
        one.grad = torch.randn_like(one)
        other.grad = one.grad.clone()
    before = gradient_norm(ours)
    norm = clip_gradients(iter(ours), max_norm)
    torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    torch.testing.assert_close(norm, before)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_clipping_nothing_is_no_error():
    assert clip_gradients([torch.nn.Parameter(torch.zeros(1))], 1.0).item() == 0.0


def test_batches_are_windows_of_the_data():
    tokens = np.arange(1000, 1100, dtype=np.uint16)
    inputs, targets = random_batch(tokens, 64, 7)
    assert inputs.dtype == targets.dtype == torch.int64
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert torch.equal(inputs[:, 1:] - inputs[:, :-1], torch.ones(64, 6, dtype=torch.int64))


def test_a_corpus_shorter_than_one_sequence_is_refused():
    with pytest.raises(DataError, match=r"7 tokens .* context_length=7"):
        random_batch(np.zeros(7, dtype=np.uint16), 1, 7)
    inputs, targets = random_batch(np.arange(8, dtype=np.uint16), 2, 7)  # exactly one place to start
    assert inputs.tolist() == [[*range(7)]] * 2
    assert targets.tolist() == [[*range(1, 8)]] * 2


def test_seeded_draws_depend_on_seed_and_step_and_leave_no_trace():
    def draw():
        return torch.rand(1).item(), float(np.random.rand())  # noqa: NPY002 - as a learner's batch code may draw

    def at(seed, step):
        with seeded(seed, step):
            return draw()

    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    undisturbed = [draw(), draw()]
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    first = draw()
    assert at(0, 7) == at(0, 7) != at(0, 8) != at(1, 7)
    assert [first, draw()] == undisturbed


def test_state_survives_the_disk_bit_for_bit(tmp_path):
    def fresh():
        model = torch.nn.Linear(4, 4)
        return TrainState(model, ForeachAdamW(model.parameters(), lr=0.1))

    def step(state):
        state.optimizer.zero_grad()
        state.model(torch.ones(2, 4)).square().sum().backward()
        state.optimizer.step()
        state.steps_done += 1

    state = fresh()
    step(state)
    state.save(tmp_path)
    restored = fresh()
    restored.load(tmp_path)
    assert restored.steps_done == 1
    step(state)
    step(restored)
    assert torch.equal(state.model.weight, restored.model.weight)


class TiedLM(torch.nn.Module):
    """A learner's own tied model: one tensor under two names; and a window of it under a third."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 4)
        self.head = torch.nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("letters", self.embedding.weight.detach()[2:5])

    def forward(self, ids):
        return self.head(self.embedding(ids))


def test_a_tied_model_survives_the_disk_and_stays_tied(tmp_path):
    def fresh():
        model = TiedLM()
        return TrainState(model, ForeachAdamW(model.parameters(), lr=0.1))

    def step(state):
        state.optimizer.zero_grad()
        state.model(torch.arange(7)).square().sum().backward()
        state.optimizer.step()

    state, restored = fresh(), fresh()
    step(state)
    state.save(tmp_path)
    assert set(load_file(tmp_path / "model.safetensors")) == set(state.model.state_dict())
    restored.load(tmp_path)
    step(state)
    step(restored)
    assert restored.model.head.weight is restored.model.embedding.weight
    assert torch.equal(state.model.head.weight, restored.model.head.weight)


@pytest.mark.parametrize("target", ["path", "buffer"])
def test_public_checkpoint_goes_to_paths_and_buffers(tmp_path, target):
    model = torch.nn.Linear(3, 3)
    optimizer = AdamW(model.parameters(), lr=0.123)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    place = tmp_path / "checkpoint.pt" if target == "path" else io.BytesIO()
    save_checkpoint(model, optimizer, 17, place)
    if isinstance(place, io.BytesIO):
        place.seek(0)
    other = torch.nn.Linear(3, 3)
    other_optimizer = AdamW(other.parameters())
    assert load_checkpoint(place, other, other_optimizer) == 17
    assert torch.equal(other.weight, model.weight)
    assert other_optimizer.param_groups[0]["lr"] == 0.123
    assert torch.equal(
        other_optimizer.state[other.weight]["exp_avg"], optimizer.state[model.weight]["exp_avg"]
    )


def uniform_model(vocab_size):
    return Bigram(torch.full((vocab_size, vocab_size), -math.log(vocab_size)))


@pytest.mark.parametrize("stride", [None, 1, 3, 8])
@pytest.mark.parametrize("num_tokens", [2, 8, 9, 10, 17, 100])
def test_every_token_but_the_first_is_counted_once(num_tokens, stride):
    tokens = np.random.default_rng(0).integers(0, 5, num_tokens)
    lengths = np.array([1, 2, 3, 4, 0])
    found = evaluate(uniform_model(5), tokens, lengths, context_length=8, batch_size=3, stride=stride)
    assert found.tokens == num_tokens - 1
    assert found.num_bytes == lengths[tokens[1:]].sum()
    assert found.nats_per_token == pytest.approx(math.log(5), rel=1e-6)


def test_evaluation_scores_the_right_targets():
    # A model that is sure of the successor is right only if target i is token i + 1.
    tokens = np.tile(np.arange(4), 10)
    sure = torch.full((4, 4), -50.0)
    sure[torch.arange(4), (torch.arange(4) + 1) % 4] = 0.0
    found = evaluate(Bigram(sure), tokens, np.ones(4, dtype=np.int64), context_length=8, stride=4)
    assert found.nats_per_token < 1e-6
    assert found.bits_per_byte < 1e-6


def test_bits_per_byte_is_nats_over_bytes():
    found = evaluate(uniform_model(4), np.arange(4), np.array([1, 1, 1, 2]), context_length=8)
    assert found.bits_per_byte == pytest.approx(
        3 * 2 / 4
    )  # three tokens of two bits each, over 1 + 1 + 2 bytes


LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0]])


def test_sampling_limits():
    plain = LOGITS.softmax(-1)
    torch.testing.assert_close(next_token_probabilities(LOGITS, Sampling()), plain)
    assert next_token_probabilities(LOGITS, Sampling(temperature=0.0)).tolist() == [[1, 0, 0, 0]]
    assert next_token_probabilities(LOGITS, Sampling(top_k=1)).tolist() == [[1, 0, 0, 0]]
    torch.testing.assert_close(next_token_probabilities(LOGITS, Sampling(top_k=99)), plain)
    torch.testing.assert_close(next_token_probabilities(LOGITS, Sampling(top_p=1.0)), plain)
    assert next_token_probabilities(LOGITS, Sampling(top_p=1e-9)).tolist() == [[1, 0, 0, 0]]
    torch.testing.assert_close(
        next_token_probabilities(LOGITS, Sampling(temperature=2.0)), (LOGITS / 2).softmax(-1)
    )


def test_top_p_keeps_the_token_that_crosses_the_bound():
    # Probabilities 0.64, 0.24, 0.09, 0.03: 0.7 is reached by the second token.
    kept = next_token_probabilities(LOGITS, Sampling(top_p=0.7))
    plain = LOGITS.softmax(-1)[0]
    torch.testing.assert_close(kept[0, :2], plain[:2] / plain[:2].sum())
    assert kept[0, 2:].tolist() == [0, 0]


def test_top_k_keeps_exactly_k_of_equal_tokens():
    assert int((next_token_probabilities(torch.zeros(1, 6), Sampling(top_k=2)) > 0).sum()) == 2


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_sampling_refuses_impossible_settings(wrong):
    with pytest.raises(ValueError):
        next_token_probabilities(LOGITS, Sampling(**wrong))


def test_sampled_frequencies_are_the_models_probabilities():
    logits = torch.tensor([0.5, 0.3, 0.2]).log().repeat(3, 1)
    generator = torch.Generator().manual_seed(0)
    drawn = list(
        sample_tokens(
            Bigram(logits),
            torch.tensor([0]),
            max_new_tokens=3000,
            context_length=4,
            sampling=Sampling(),
            generator=generator,
        )
    )
    shares = np.bincount(drawn, minlength=3) / 3000
    # Five standard deviations of a share over 3000 draws: 5 * sqrt(0.25 / 3000) = 0.046.
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.046)


def test_sampling_is_seeded_and_stops_after_the_end_token():
    table = torch.zeros(6, 6)

    def draw(seed, end_token=None):
        generator = torch.Generator().manual_seed(seed)
        prompt = torch.tensor([1, 2])
        settings = {"max_new_tokens": 40, "context_length": 2, "sampling": Sampling()}
        return list(
            sample_tokens(Bigram(table), prompt, generator=generator, end_token=end_token, **settings)
        )

    assert draw(3) == draw(3) != draw(4)
    stopped = draw(3, end_token=0)
    assert stopped[-1] == 0
    assert 0 not in stopped[:-1]
    assert stopped == draw(3)[: len(stopped)]
