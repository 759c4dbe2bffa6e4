"""The chunked last layer and loss equals the plain one and never holds all logits."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from a2_systems.kernels.linear_cross_entropy import linear_cross_entropy, plain_linear_cross_entropy


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements that any operation allocated; views of what is there already do not count."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = out if isinstance(out, tuple | list) else (out,)
        for tensor, declared in zip(made, func._schema.returns, strict=False):
            if isinstance(tensor, Tensor) and declared.alias_info is None:
                self.numel = max(self.numel, tensor.numel())
        return out


def inputs(
    rows: int, vocab: int, width: int = 8, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(rows * 100 + vocab)
    features = torch.randn(rows, width, dtype=dtype, requires_grad=True)
    weight = torch.randn(vocab, width, dtype=dtype, requires_grad=True)
    return features, weight, torch.randint(vocab, (rows,))


def with_gradients(loss: Tensor, *leaves: Tensor) -> list[Tensor]:
    return [loss.detach(), *torch.autograd.grad(3.0 * loss, leaves)]


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 14))
def test_equals_the_plain_version_for_every_chunk(rows: int, vocab: int, chunk_rows: int) -> None:
    features, weight, targets = inputs(rows, vocab)
    chunked = with_gradients(linear_cross_entropy(features, weight, targets, chunk_rows), features, weight)
    plain = with_gradients(plain_linear_cross_entropy(features, weight, targets), features, weight)
    torch.testing.assert_close(chunked, plain)  # float64 sums in another order


def test_float32_is_as_near_to_float64_as_the_plain_version() -> None:
    features, weight, targets = inputs(50, 30, dtype=torch.float32)
    wide = [tensor.detach().double().requires_grad_() for tensor in (features, weight)]
    truth = with_gradients(plain_linear_cross_entropy(*wide, targets), *wide)
    chunked = with_gradients(linear_cross_entropy(features, weight, targets, 7), features, weight)
    for ours, exact in zip(chunked, truth, strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-6)  # float32 sums of 50 terms


def test_float16_keeps_the_gradient_of_many_rows() -> None:
    # the same row 40,000 times: the sum of its gradients is beyond 65,504, their mean is an ordinary number
    features = torch.full((40_000, 4), 4.0, dtype=torch.float16, requires_grad=True)
    weight = torch.linspace(-1, 1, 32, dtype=torch.float16).view(8, 4).requires_grad_()
    targets = torch.zeros(40_000, dtype=torch.int64)
    wide = [tensor.detach().double().requires_grad_() for tensor in (features, weight)]
    exact = with_gradients(plain_linear_cross_entropy(*wide, targets), *wide)
    for chunk_rows in (40_000, 700):
        ours = with_gradients(linear_cross_entropy(features, weight, targets, chunk_rows), features, weight)
        assert [found.dtype for found in ours] == [torch.float32, torch.float16, torch.float16]
        # logits and their gradients are rounded by 2^-11 of themselves; features' gradients of 1e-4 by 2^-25 at most
        torch.testing.assert_close([found.double() for found in ours], exact, rtol=5e-3, atol=1e-7)


def test_huge_logits_neither_overflow_nor_lose_the_loss() -> None:
    features, weight, targets = inputs(6, 5)
    loss = linear_cross_entropy(features * 1e4, weight * 1e4, targets, 2)
    torch.testing.assert_close(loss, plain_linear_cross_entropy(features * 1e4, weight * 1e4, targets))


def test_no_tensor_is_larger_than_a_chunk_or_an_input() -> None:
    features, weight, targets = inputs(64, 100, dtype=torch.float32)
    with LargestTensor() as chunked:
        linear_cross_entropy(features, weight, targets, 4).backward()
    with LargestTensor() as plain:
        plain_linear_cross_entropy(features, weight, targets).backward()
    assert plain.numel == 64 * 100
    assert chunked.numel == max(4 * 128, weight.numel(), features.numel())  # rows of logits are padded


def test_evaluation_makes_no_gradients() -> None:
    features, weight, targets = inputs(8, 100, dtype=torch.float32)
    with torch.no_grad(), LargestTensor() as seen:
        loss = linear_cross_entropy(features, weight, targets, 2)
    assert not loss.requires_grad
    assert seen.numel < weight.numel()


def test_autocast_multiplies_in_half_precision_and_keeps_the_gradients_formats() -> None:
    features, weight, targets = inputs(16, 20, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(features, weight, targets, 5)
    loss.backward()
    assert loss.dtype == features.grad.dtype == weight.grad.dtype == torch.float32
    exact = plain_linear_cross_entropy(features, weight, targets)
    assert 0 < (loss - exact).abs() < 0.1  # bfloat16 logits: rounded, by 2^-9 of numbers below ten


def test_leading_dimensions_and_short_ids_are_taken() -> None:
    features, weight, targets = inputs(12, 7)
    loss = linear_cross_entropy(features.view(3, 4, 8), weight, targets.view(3, 4).int(), 5)
    torch.testing.assert_close(loss, plain_linear_cross_entropy(features, weight, targets))


def test_shapes_that_do_not_fit_are_refused() -> None:
    features, weight, targets = inputs(12, 7)
    with pytest.raises(ValueError, match="wanted"):
        linear_cross_entropy(features, weight, targets[:-1])
    with pytest.raises(ValueError, match="at least one target"):
        linear_cross_entropy(features[:0], weight, targets[:0])
