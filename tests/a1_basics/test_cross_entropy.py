"""Cross-entropy: limits and shifts first, extra dimensions, then a float64 oracle and the known gradient."""

import math

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.oracles import layers as oracle

# A logarithm of a sum of float32 exponentials, and a mean of numbers of size up to 10.
ATOL = 1e-5
# Weights of at most 1, divided by the number of predictions.
ATOL_SLOPE = 1e-6


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def some_targets(*shape: int, vocab: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.asarray(np.random.default_rng(seed).integers(0, vocab, shape)))


def cross_entropy(adapters, logits, targets):
    # Copies go in: that the caller's tensors stay as they were is one test's business, not everyone's.
    return adapters.run_cross_entropy(logits.clone(), torch.as_tensor(targets).clone())


def test_two_predictions_by_hand(adapters):
    # Probabilities 1/4 and 3/4 in both rows; the targets have 3/4 and 1/4.
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    expect_close(
        cross_entropy(adapters, logits, torch.tensor([1, 0])),
        (math.log(4 / 3) + math.log(4)) / 2,
        what="the loss is the mean of -ln p(target), p being the softmax of the logits, as one number",
        why="this is what training makes small; a sum in place of the mean makes the learning rate depend on the batch "
        "size, and base 2 or 10 makes it incomparable",
        atol=ATOL,
        case="logits (0, ln 3) twice, so p = (1/4, 3/4); targets 1 and 0",
    )


@pytest.mark.parametrize("vocab", [2, 10, 50_257])
def test_an_untrained_model_pays_ln_vocab(adapters, vocab):
    logits, targets = torch.full((3, vocab), 0.7), torch.tensor([0, 1, vocab - 1])
    expect_close(
        cross_entropy(adapters, logits, targets),
        math.log(vocab),
        what="equal logits give ln(vocab), whatever the targets are",
        why="the first loss of a run should be near ln(vocab): it is the first thing to look at",
        atol=ATOL * 10,  # a sum of 50,257 float32 exponentials
        case=f"3 predictions over {vocab} tokens, all logits 0.7",
    )


@pytest.mark.parametrize("shift", [100.0, 1e4, -1e4], ids=lambda shift: f"{shift:g}")
def test_a_shift_of_a_row_changes_nothing(adapters, shift):
    # Quarters, so that logits + shift is exact in float32.
    logits, targets = (numbers(4, 5, seed=1) * 4).round() / 4, some_targets(4, vocab=5, seed=2)
    shifts = torch.tensor([[shift], [0.0], [shift / 2], [-shift]])
    expect_close(
        cross_entropy(adapters, logits + shifts, targets),
        oracle.cross_entropy(logits.numpy(), targets.numpy()),
        what="a number added to all logits of a row changes nothing, a different one for each row",
        why="exp(89) overflows float32 and exp(-104) is 0; shifted by the largest logit of the whole batch, rows far "
        "below it give ln 0",
        # logsumexp of logits of size `shift`, minus the target's, is a fair form and rounds at 2^-24 of that size.
        atol=ATOL + 2e-7 * abs(shift),
        case=f"logits of shape (4, 5); {shift:g}, 0, {shift / 2:g} and {-shift:g} added to its rows",
    )


@pytest.mark.parametrize("gap", [30.0, 100.0, 1e4, 1e30], ids=lambda gap: f"{gap:g}")
def test_a_confident_mistake_costs_the_gap(adapters, gap):
    expect_close(
        cross_entropy(adapters, torch.tensor([[0.0, gap, 0.0]]), torch.tensor([0])),
        gap,
        what="a target whose logit lies far below the largest costs that distance, however far",
        why="the logarithm of a softmax is ln 0 from a distance of 104 on, and ln(p + 1e-9) never costs more than 21: "
        "the worst mistakes would teach nothing",
        atol=0.0,
        rtol=1e-6,
        case=f"logits (0, {gap:g}, 0), target 0",
    )


def test_a_sure_and_right_prediction_costs_little(adapters):
    expect_close(
        cross_entropy(adapters, torch.tensor([[0.0, 80.0, 0.0], [1e4, 0.0, 0.0]]), torch.tensor([1, 0])),
        0.0,
        what="a target that has all the probability costs 0",
        why="smoothed labels, or a clamp of probabilities, keep a loss that no model can get rid of",
        atol=1e-7,
        case="logits (0, 80, 0) with target 1 and (10000, 0, 0) with target 0",
    )


@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3), (3, 3), (2, 1, 3), (2, 2, 2, 2)], ids=str)
def test_any_leading_dimensions(adapters, leading):
    logits, targets = numbers(*leading, 3, seed=3) * 3, some_targets(*leading, vocab=3, seed=4)
    got = cross_entropy(adapters, logits, targets)
    expect_close(
        got,
        oracle.cross_entropy(logits.numpy(), targets.numpy()),
        what="the vocabulary is the last dimension; the mean runs over all the others, and is one number",
        why="a model gives (batch, seq, vocab); a library loss takes the second dimension for the vocabulary, which "
        "fits without an error where seq equals vocab",
        atol=ATOL,
        case=f"logits of shape {(*leading, 3)}, targets of shape {leading}",
    )


def test_tokens_may_be_renamed(adapters):
    logits, targets = numbers(6, 5, seed=5), torch.tensor([0, 1, 2, 3, 4, 0])
    order = torch.tensor([3, 0, 4, 2, 1])
    expect_close(
        cross_entropy(adapters, logits[:, order], order.argsort()[targets]),
        cross_entropy(adapters, logits, targets),
        what="the vocabulary in another order, with the targets renamed to match, costs the same",
        why="no id is special: an ignored id 0, or an end-of-text mark that costs nothing, is never learned",
        atol=ATOL,
        case="6 predictions over 5 tokens",
    )


def test_every_prediction_counts_once(adapters):
    logits, targets = numbers(4, 5, 7, seed=7) * 2, some_targets(4, 5, vocab=7, seed=8)
    alone = [
        float(cross_entropy(adapters, logits[i, j][None], targets[i, j][None]))
        for i in range(4)
        for j in range(5)
    ]
    expect_close(
        cross_entropy(adapters, logits, targets),
        sum(alone) / 20,
        what="the loss of a batch is the mean of the losses of its predictions, each alone",
        why="a last position that is left out, or a sum over the sequence, changes what a loss means",
        atol=ATOL,
        case="logits of shape (4, 5, 7)",
    )


@pytest.mark.parametrize("leading", [(5,), (2, 3)], ids=str)
def test_the_gradient_is_probability_minus_target(adapters, leading):
    logits = (numbers(*leading, 4, seed=9) * 2).requires_grad_()
    targets = some_targets(*leading, vocab=4, seed=10)
    got = adapters.run_cross_entropy(logits, targets)
    expect(
        isinstance(got, torch.Tensor) and bool(got.requires_grad),
        what="the loss is differentiable",
        why="a loss made a number with .item(), or computed under no_grad, trains nothing",
        counterexample="the logits require a gradient, the loss has none",
    )
    got.backward()
    target_weights = np.eye(4)[targets.numpy()]
    expect_close(
        logits.grad,
        (oracle.softmax(logits.detach().numpy(), -1) - target_weights) / targets.numel(),
        what="the gradient of each logit is (its probability - 1 for the target, 0 for the others) / predictions",
        why="a normaliser that is detached leaves only half of this: the loss falls without end and nothing is learned",
        atol=ATOL_SLOPE,
        case=f"logits of shape {(*leading, 4)}",
    )


def test_gradients_of_large_logits_are_finite(adapters):
    logits = torch.tensor([[1e4, -1e4, 0.0], [0.0, 300.0, -300.0]], requires_grad=True)
    adapters.run_cross_entropy(logits, torch.tensor([1, 1])).backward()
    expect_close(
        logits.grad,
        [[0.5, -0.5, 0.0], [0.0, 0.0, 0.0]],
        what="the gradient is finite, and full where the model is surely wrong",
        why="ln of a probability that underflowed has an infinite slope times 0, which is NaN in every weight",
        atol=ATOL_SLOPE,
        case="logits (1e4, -1e4, 0) and (0, 300, -300), targets 1 and 1",
    )


def test_float64_is_kept(adapters):
    logits, targets = numbers(6, 5, seed=11).double() * 3, some_targets(6, vocab=5, seed=12)
    got = cross_entropy(adapters, logits, targets)
    expect_close(
        got,
        oracle.cross_entropy(logits.numpy(), targets.numpy()),
        what="float64 logits are as good an input as float32 ones",
        why="checks of gradients run in float64",
        atol=ATOL,
        case="logits of shape (6, 5) and float64",
    )


def test_arguments_are_left_alone(adapters):
    logits, targets = numbers(3, 4, seed=13), torch.tensor([1, 0, 3])
    logits_before, targets_before = logits.clone(), targets.clone()
    adapters.run_cross_entropy(logits, targets)
    why = "logits -= max saves a line and shifts the caller's logits, which sampling or another loss looks at next"
    expect_equal(logits, logits_before, what="inputs is not changed in place", why=why)
    expect_equal(
        targets, targets_before, what="targets is not changed in place", why="they serve the next loss too"
    )
