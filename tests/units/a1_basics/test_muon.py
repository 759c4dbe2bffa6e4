"""Muon by its laws: what Newton-Schulz does to singular values, and what an optimizer step does to weights."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from a1_basics.training.adamw import AdamW
from a1_basics.training.muon import (
    NEWTON_SCHULZ_STEPS,
    QUINTIC,
    Muon,
    hidden_parameter_groups,
    newton_schulz,
)

shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))
seeds = st.integers(0, 2**31)


def quintic(value: Tensor) -> Tensor:
    """What five rounds do to one singular value."""
    a, b, c = QUINTIC
    for _ in range(NEWTON_SCHULZ_STEPS):
        value = a * value + b * value**3 + c * value**5
    return value


def random_matrix(shape: tuple[int, int], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_singular_values(values: Tensor, shape: tuple[int, int], seed: int) -> Tensor:
    """A matrix with random singular vectors and these singular values."""
    left, _, right = torch.linalg.svd(random_matrix(shape, seed), full_matrices=False)
    return left * values @ right


@settings(max_examples=20)
@given(shape=shapes, seed=seeds)
def test_it_is_the_quintic_of_each_singular_value_and_keeps_the_vectors(shape, seed):
    matrix = random_matrix(shape, seed)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    expected = left * quintic(values / torch.linalg.vector_norm(values)) @ right
    # Float64 roundings of 1e-16, steepened by at most 3.4445^5 = 485 and summed over 24 terms.
    torch.testing.assert_close(newton_schulz(matrix), expected, atol=1e-10, rtol=1e-10)


def test_the_band_of_the_quintic():
    ends = quintic(torch.linspace(0.003, 1, 100_000, dtype=torch.float64))
    assert ends.min() > 0.67
    assert ends.max() < 1.21
    assert quintic(torch.zeros(1)) == 0  # what a gradient does not touch, the step does not touch


@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8), (1, 5), (5, 1)])
def test_the_update_is_orthogonal_within_the_band(shape):
    smallest = min(shape)
    values = torch.logspace(-1.5, 0, smallest, dtype=torch.float64)  # condition number 32
    matrix = with_singular_values(values, shape, seed=3)
    exact_left, _, exact_right = torch.linalg.svd(matrix, full_matrices=False)
    found = newton_schulz(matrix)
    spectrum = torch.linalg.svdvals(found)
    assert spectrum.min() > 0.67
    assert spectrum.max() < 1.21
    # Its distance from the exact orthogonal factor is that of the band, in every direction.
    error = torch.linalg.matrix_norm(found - exact_left @ exact_right, ord=2)
    assert error < 1 - 0.67


@settings(max_examples=15)
@given(shape=shapes, seed=seeds, scale=st.floats(1e-6, 1e6))
def test_the_size_of_the_gradient_does_not_matter(shape, seed, scale):
    matrix = random_matrix(shape, seed)
    torch.testing.assert_close(newton_schulz(scale * matrix), newton_schulz(matrix), atol=1e-10, rtol=1e-10)


@settings(max_examples=15)
@given(shape=shapes, seed=seeds)
def test_a_tall_matrix_is_treated_as_its_transpose(shape, seed):
    matrix = random_matrix(shape, seed)
    torch.testing.assert_close(newton_schulz(matrix.T), newton_schulz(matrix).T, atol=1e-9, rtol=1e-9)


def test_rotating_the_gradient_rotates_the_step():
    matrix, turn = random_matrix((6, 9), 0), torch.linalg.qr(random_matrix((6, 6), 1)).Q
    torch.testing.assert_close(newton_schulz(turn @ matrix), turn @ newton_schulz(matrix))


def test_float32_agrees_with_float64():
    matrix = random_matrix((64, 172), 0)
    # Each round can double a rounding error of 6e-8 several times over; five rounds stay below 1e-4.
    torch.testing.assert_close(
        newton_schulz(matrix.float()).double(), newton_schulz(matrix), atol=1e-4, rtol=1e-3
    )


def test_a_zero_gradient_moves_nothing_but_the_decay():
    weight = nn.Parameter(torch.ones(3, 4))
    optimizer = Muon([{"params": [weight], "is_hidden": True}], lr=0.1, weight_decay=0.5)
    weight.grad = torch.zeros(3, 4)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((3, 4), 1 - 0.1 * 0.5))


def test_first_step_is_the_orthogonal_factor_of_the_gradient_at_the_size_of_adamw():
    gradient = with_singular_values(torch.linspace(0.5, 1, 6, dtype=torch.float64), (6, 24), seed=0)
    weight = nn.Parameter(torch.zeros(6, 24, dtype=torch.float64))
    optimizer = Muon([{"params": [weight], "is_hidden": True}], lr=0.01, weight_decay=0.0)
    weight.grad = gradient
    optimizer.step()
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    exact = -0.01 * 0.2 * math.sqrt(24) * (left @ right)
    assert torch.linalg.matrix_norm(weight.detach() - exact, ord=2) < 0.33 * torch.linalg.matrix_norm(
        exact, ord=2
    )
    # An exact orthogonal factor would have a root mean square of 0.2 lr; the band of the iteration is 0.67 to 1.21.
    size = weight.detach().square().mean().sqrt() / 0.01
    assert 0.2 * 0.67 < size < 0.2 * 1.21


def test_momentum_looks_ahead():
    first, second = random_matrix((4, 4), 0), random_matrix((4, 4), 1)
    weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.float64))
    optimizer = Muon([{"params": [weight], "is_hidden": True}], lr=1.0, weight_decay=0.0, momentum=0.9)
    weight.grad = first
    optimizer.step()
    before = weight.detach().clone()
    weight.grad = second
    optimizer.step()
    momentum = 0.9 * (0.1 * first) + 0.1 * second
    expected = newton_schulz(0.1 * second + 0.9 * momentum) * 0.2 * 2
    torch.testing.assert_close(before - weight.detach(), expected)


def small_model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Module()
    model.add_module("table", nn.Embedding(7, 4))
    model.add_module("layers", nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)]))
    return model


def with_gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_every_parameter_is_in_one_group_and_only_matrices_of_the_layers_are_hidden():
    model = small_model()
    groups = hidden_parameter_groups(model, weight_decay=0.1)
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = [[names[parameter] for parameter in group["params"]] for group in groups]
    assert found == [
        ["layers.0.weight", "layers.1.weight"],
        ["table.weight"],
        ["layers.0.bias", "layers.1.bias"],
    ]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.1, 0.0]
    assert groups[0]["is_hidden"]


def test_what_is_not_hidden_moves_by_adamw():
    ours, theirs = small_model(), small_model()
    optimizer = Muon(hidden_parameter_groups(ours, 0.1), lr=0.01)
    groups = [
        {"params": [theirs.table.weight], "weight_decay": 0.1},
        {"params": [theirs.layers[0].bias, theirs.layers[1].bias], "weight_decay": 0.0},
    ]
    expected = AdamW(groups, lr=0.01, betas=(0.9, 0.95))
    for seed in range(3):
        with_gradients(ours, seed)
        with_gradients(theirs, seed)
        optimizer.step()
        expected.step()
    assert torch.equal(ours.table.weight, theirs.table.weight)
    assert torch.equal(ours.layers[1].bias, theirs.layers[1].bias)


def test_a_saved_optimizer_goes_on_as_if_it_had_not_been_saved():
    whole, cut = small_model(), small_model()
    optimizer = Muon(hidden_parameter_groups(whole, 0.1))
    before, after = Muon(hidden_parameter_groups(cut, 0.1)), Muon(hidden_parameter_groups(cut, 0.1))
    for seed in range(4):
        with_gradients(whole, seed)
        optimizer.step()
    for seed in range(4):
        with_gradients(cut, seed)
        (before if seed < 2 else after).step()
        if seed == 1:
            after.load_state_dict(before.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), cut.parameters(), strict=True))


def test_it_keeps_one_number_for_each_hidden_weight():
    model = small_model()
    optimizer = Muon(hidden_parameter_groups(model, 0.1))
    with_gradients(model, 0)
    optimizer.step()
    assert {key: value.numel() for key, value in optimizer.state[model.layers[0].weight].items()} == {
        "momentum": 16
    }


def test_a_vector_in_a_hidden_group_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        Muon([{"params": [nn.Parameter(torch.zeros(3))], "is_hidden": True}])
