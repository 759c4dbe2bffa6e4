"""FlashAttention backward: the gradients of the very function that forward computes, from what forward saved."""

import numpy as np
import pytest
import torch

from tests.a2_systems.flash_cases import ATOL, CAUSAL, HALF, KINDS, applied, arrays, flash, numbers, qkv
from tests.harness.explain import expect, expect_close, expect_equal
from tests.oracles import flash as oracle

NAMES = ("Q", "K", "V")


def expect_gradients(adapters, kind, tensors, grad_out, is_causal=False, *, what, why, scale=1.0):
    leaves, out = applied(flash(adapters, kind), tensors, is_causal)
    out.backward(grad_out)
    truth = oracle.gradients(*arrays(*tensors, grad_out), is_causal)
    for name, leaf, slope in zip(NAMES, leaves, truth, strict=True):
        case = f"gradient of {name}; Q {tuple(tensors[0].shape)}, K {tuple(tensors[1].shape)}, "
        expect(
            isinstance(leaf.grad, torch.Tensor),
            what=f"backward returns a gradient for {name}",
            why="None is a weight that never learns",
            counterexample=f"{name}.grad is None",
        )
        expect_close(
            leaf.grad,
            slope,
            what=what,
            why=why,
            case=f"{case}is_causal={is_causal}, {kind}",
            # Sums over up to a hundred rows of numbers of size 3.
            atol=5 * ATOL[kind] * scale,
        )


@KINDS
@CAUSAL
def test_gradients_equal_the_oracles(adapters, kind, is_causal):
    tensors = qkv((2,), 48, 48, 32, kind=kind, seed=1)
    expect_gradients(
        adapters,
        kind,
        tensors,
        numbers(2, 48, 32, kind=kind, seed=20),
        is_causal,
        what="the gradients of Q, K and V are those of attention, with the mask that forward had",
        why="backward computes the weights again; with another mask or scale than forward's it trains towards "
        "something else, and the loss still falls",
    )


@KINDS
@CAUSAL
@pytest.mark.parametrize(("q_len", "k_len"), [(17, 70), (37, 37), (1, 20)], ids=str)
def test_any_lengths(adapters, kind, is_causal, q_len, k_len):
    tensors = qkv((1,), q_len, k_len, 16, kind=kind, seed=2)
    expect_gradients(
        adapters,
        kind,
        tensors,
        numbers(1, q_len, 16, kind=kind, seed=21),
        is_causal,
        what="gradients are right at any length, q_len unlike k_len; causal queries are the last of k_len positions",
        why="the rows that a ragged tile has too many must not add to dK and dV",
    )


@KINDS
@pytest.mark.parametrize("d", [16, 128])
def test_scale_follows_the_width(adapters, kind, d):
    tensors = qkv((1,), 20, 20, d, kind=kind, seed=3)
    expect_gradients(
        adapters,
        kind,
        tensors,
        numbers(1, 20, d, kind=kind, seed=22),
        what="dQ and dK carry the factor 1/sqrt(d), once",
        why="a learning rate hides a wrong factor of both, and nothing hides one of dK alone",
    )


@KINDS
def test_an_expanded_gradient(adapters, kind):
    tensors = qkv((2,), 20, 20, 16, kind=kind, seed=4)
    one = torch.ones((), device=tensors[0].device).expand(2, 20, 16)
    expect_gradients(
        adapters,
        kind,
        tensors,
        one,
        what="the incoming gradient need not be contiguous: that of out.sum() is one number, expanded",
        why="a kernel that is given its pointer reads far behind it",
    )
    turned = numbers(2, 16, 20, kind=kind, seed=23).transpose(1, 2)
    expect_gradients(
        adapters,
        kind,
        tensors,
        turned,
        what="the incoming gradient need not be contiguous: here it is a transposed view",
        why="a model transposes heads and positions after attention, and its gradient comes back that way",
    )


@KINDS
def test_heads_and_strided_inputs(adapters, kind):
    base = [numbers(2, 18, 2, 16, kind=kind, seed=24 + i).requires_grad_() for i in range(3)]
    grad_out = numbers(2, 2, 18, 16, kind=kind, seed=27)
    out = flash(adapters, kind).apply(*[part.transpose(1, 2) for part in base], True)
    out.backward(grad_out)
    truth = oracle.gradients(*arrays(*[part.transpose(1, 2) for part in base], grad_out), True)
    for name, part, slope in zip(NAMES, base, truth, strict=True):
        expect_close(
            part.grad,
            np.swapaxes(slope, 1, 2),
            what="the same for (batch, heads, seq, d) seen through a transposed view",
            why="this is how a model calls it",
            case=f"gradient of {name}, {kind}",
            atol=5 * ATOL[kind],
        )


@KINDS
def test_large_scores_have_finite_gradients(adapters, kind):
    q, k, v = qkv((1,), 40, 40, 16, kind=kind, seed=5)
    q, k = (100 * q).round(), k.round()
    leaves, out = applied(flash(adapters, kind), [q, k, v], True)
    out.backward(numbers(1, 40, 16, kind=kind, seed=28))
    for name, leaf in zip(NAMES, leaves, strict=True):
        expect(
            bool(leaf.grad.isfinite().all()),
            what="scores of a few thousand give finite gradients",
            why="exp(score) / sum overflows where exp(score - logsumexp) is at most 1; one NaN ends a training",
            counterexample=f"gradient of {name}: {int((~leaf.grad.isfinite()).sum())} values are not finite",
            case=f"Q of size 200, {kind}",
        )


@KINDS
def test_half_precision_gradients(adapters, kind):
    dtype = HALF[kind]
    tensors = qkv((1,), 64, 64, 32, kind=kind, seed=6, dtype=dtype)
    grad_out = numbers(1, 64, 32, kind=kind, seed=29, dtype=dtype)
    leaves, out = applied(flash(adapters, kind), tensors, True)
    out.backward(grad_out)
    truth = oracle.gradients(*arrays(*tensors, grad_out), True)
    # The rounding of the gradient itself, of O in D, and of P and dS where a kernel feeds them to its matrix unit.
    allowed = 1.0 * torch.finfo(dtype).eps
    for name, leaf, slope in zip(NAMES, leaves, truth, strict=True):
        expect_equal(
            str(leaf.grad.dtype),
            str(dtype),
            what=f"the gradient of {name} has its dtype",
            why="autograd adds it to others of that dtype",
        )
        error = float(np.sqrt(np.square(arrays(leaf.grad)[0] - slope).mean() / np.square(slope).mean()))
        expect(
            error <= allowed,
            what="scores, weights and sums of backward are kept in float32 for half-precision inputs",
            why="dK and dV add up thousands of rows: in 8 bits the later ones are lost",
            counterexample=f"gradient of {name}: relative error {error:.5f} (root mean square), allowed {allowed:.5f}",
            case=f"Q, K, V (1, 64, 32), {dtype}, causal, {kind}",
        )


@KINDS
def test_only_the_inputs_that_want_a_gradient(adapters, kind):
    q, k, v = qkv((1,), 20, 20, 16, kind=kind, seed=7)
    leaf = k.clone().requires_grad_()
    grad_out = numbers(1, 20, 16, kind=kind, seed=30)
    flash(adapters, kind).apply(q, leaf, v).backward(grad_out)
    expect_close(
        leaf.grad,
        oracle.gradients(*arrays(q, k, v, grad_out))[1],
        what="K alone may want a gradient; apply(Q, K, V) has a default for the flag",
        why="frozen or cached parts are common, and backward must still return one value for each argument",
        atol=5 * ATOL[kind],
    )


@KINDS
def test_twice_the_same(adapters, kind):
    tensors = qkv((2,), 40, 40, 16, kind=kind, seed=8)

    def once():
        leaves, out = applied(flash(adapters, kind), tensors, True)
        out.square().sum().backward()
        return [leaf.grad for leaf in leaves]

    for name, first, second in zip(NAMES, once(), once(), strict=True):
        expect_equal(
            second,
            first,
            what=f"the gradient of {name} is the same to the bit when it is computed again",
            why="sums whose order is left to chance (atomic additions) make runs that nobody can repeat",
        )
