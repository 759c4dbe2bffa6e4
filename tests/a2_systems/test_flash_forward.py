"""FlashAttention forward, in torch and as a Triton kernel: what it must equal, and how far it must reach."""

import numpy as np
import pytest
import torch

from tests.a2_systems.flash_cases import ATOL, CAUSAL, HALF, KINDS, applied, arrays, flash, numbers, qkv, want
from tests.harness.explain import expect, expect_close, expect_equal


def expect_right(adapters, kind, tensors, is_causal=False, *, what, why, atol=None):
    *lead, q_len, _ = tensors[0].shape
    case = f"Q {tuple(tensors[0].shape)}, K and V {tuple(tensors[1].shape)}, is_causal={is_causal}, {kind}"
    _, out = applied(flash(adapters, kind), tensors, is_causal)
    truth = want(tensors, is_causal)
    expect_close(out, truth.out, what=what, why=why, case=case, atol=atol or ATOL[kind])
    kept = [saved for saved in out.grad_fn.saved_tensors if saved is not None]
    found = [saved for saved in kept if tuple(saved.shape) == (*lead, q_len)]
    expect_equal(
        len(found),
        1,
        what="exactly one saved tensor has the shape (..., q_len): the log-sum-exp",
        why="backward computes the weights again from it; a maximum and a sum would be twice as much to keep",
        case=case,
    )
    expect_close(
        found[0],
        truth.logsumexp,
        what="the saved tensor of shape (..., q_len) is the log-sum-exp of the scaled scores, a natural logarithm",
        why="exp(score - logsumexp) is the weight: off by a maximum or by log 2, every gradient is scaled",
        case=case,
        atol=atol or ATOL[kind],
    )


@KINDS
@CAUSAL
def test_result_and_logsumexp(adapters, kind, is_causal):
    expect_right(
        adapters,
        kind,
        qkv((2,), 64, 64, 32, kind=kind, seed=1),
        is_causal,
        what="attention, softmax(Q K^T / sqrt(d)) V; causal queries see no later key",
        why="tiles, running maxima and rescaling are a way to compute it, not another function",
    )


@KINDS
@CAUSAL
@pytest.mark.parametrize(("q_len", "k_len"), [(16, 80), (37, 37), (1, 40), (35, 70)], ids=str)
def test_any_lengths(adapters, kind, is_causal, q_len, k_len):
    expect_right(
        adapters,
        kind,
        qkv((1,), q_len, k_len, 16, kind=kind, seed=2),
        is_causal,
        what="lengths need not be multiples of a tile, nor equal; causal queries are the last q_len of k_len positions",
        why="texts have any length, and a cache asks for the last tokens only; a ragged last tile that is padded with "
        "zeros gives its padding a score of 0, which is a weight",
    )


@KINDS
@pytest.mark.parametrize("d", [16, 128])
def test_scale_follows_the_width(adapters, kind, d):
    expect_right(
        adapters,
        kind,
        qkv((1,), 32, 32, d, kind=kind, seed=3),
        what="scores are divided by sqrt(d), d being the width that came",
        why="1/8 is right at a width of 64 only",
    )


@KINDS
@CAUSAL
def test_large_scores_stay_finite(adapters, kind, is_causal):
    # Whole numbers: scores are exact, also in TF32, and so is the answer.
    q, k, v = (torch.zeros(1, 48, 16) for _ in range(3))
    q[..., 0] = 1024 * (torch.arange(48) % 2 * 2 - 1)
    k[..., 0] = torch.arange(48) % 5 * 8 - 16
    v[..., :3] = numbers(1, 48, 3, seed=4).bfloat16().float()
    device = numbers(1, kind=kind).device
    expect_right(
        adapters,
        kind,
        [part.to(device) for part in (q, k, v)],
        is_causal,
        what="scores of plus and minus 4,096 give finite weights",
        why="exp(89) overflows float32: each row's running maximum is subtracted first, and what was summed before "
        "it grew is scaled down",
        atol=1e-3,  # a float32 of this size, which the logsumexp is, is a multiple of 5e-4
    )


@KINDS
def test_rising_scores_rescale_what_was_summed(adapters, kind):
    q = numbers(1, 16, 16, kind=kind, seed=5).abs() + 0.5
    k = numbers(1, 144, 16, kind=kind, seed=6).abs() * torch.linspace(0.0, 1.0, 144, device=q.device)[:, None]
    expect_right(
        adapters,
        kind,
        [q, k, numbers(1, 144, 16, kind=kind, seed=7)],
        what="the same when every tile of keys brings a larger maximum than the one before",
        why="sum and mixture must both be multiplied by exp(old maximum - new maximum); forgotten, early keys count "
        "too much, and only then",
    )


@KINDS
def test_values_of_one_give_one(adapters, kind):
    q, k, v = qkv((2,), 33, 50, 16, kind=kind, seed=8)
    _, out = applied(flash(adapters, kind), [q, k, torch.ones_like(v)])
    expect_close(
        out,
        np.ones(out.shape),
        what="values of 1 give 1: the weights of a query sum to one",
        why="a division by a sum that misses a tile, or counts padding, shows here whatever the scores are",
        case=f"Q {tuple(q.shape)}, K {tuple(k.shape)}, V all ones, {kind}",
        atol=ATOL[kind],
    )


@KINDS
def test_later_keys_have_no_influence(adapters, kind):
    q, k, v = qkv((1,), 40, 40, 16, kind=kind, seed=9)
    loud_k, loud_v = k.clone(), v.clone()
    loud_k[:, 25:], loud_v[:, 25:] = 1e3, 1e4
    function = flash(adapters, kind)
    quiet, loud = (applied(function, part, True)[1][:, :25] for part in ([q, k, v], [q, loud_k, loud_v]))
    expect_equal(
        loud,
        quiet,
        what="with is_causal=True, keys after a query have exactly no influence on it",
        why="a leak from the future lets a model read the answer in training, and it fails in use",
        case=f"queries 0 to 24 of 40; keys and values from 25 on become 1e3 and 1e4, {kind}",
    )


@KINDS
def test_everything_is_seen_unless_asked(adapters, kind):
    tensors = qkv((1,), 20, 20, 16, kind=kind, seed=10)
    _, out = applied(flash(adapters, kind), tensors)
    expect_close(
        out,
        want(tensors).out,
        what="apply(Q, K, V) without the flag is not causal",
        why="encoders and cross-attention see everything",
        atol=ATOL[kind],
    )


@KINDS
def test_any_leading_dimensions(adapters, kind):
    expect_right(
        adapters,
        kind,
        qkv((2, 3), 17, 17, 16, kind=kind, seed=11),
        True,
        what="any leading dimensions: (batch, heads, seq, d) as well as (batch, seq, d)",
        why="this is how a model calls it; a kernel that knows one batch dimension needs a reshape around it",
    )


@KINDS
def test_any_strides(adapters, kind):
    # As they come out of a projection: (batch, seq, heads, d), seen as (batch, heads, seq, d).
    q, v = (numbers(2, 18, 2, 16, kind=kind, seed=12 + i).transpose(1, 2) for i in range(2))
    k = numbers(2, 1, 18, 16, kind=kind, seed=14).expand(2, 2, 18, 16)
    expect_close(
        flash(adapters, kind).apply(q, k, v, True),
        want([q, k, v], True).out,
        what="inputs need not be contiguous: views of (batch, seq, heads, d), or expanded over heads",
        why="a kernel that takes seq * d for the stride of a head reads other numbers, without an error",
        case=f"Q and V transposed views, K expanded over the heads, {kind}",
        atol=ATOL[kind],
    )


@KINDS
def test_half_precision_is_summed_in_float32(adapters, kind):
    # Queries of size 6: scores of up to 25, which bfloat16 would round by 0.06, and their exponentials by 6 %.
    dtype = HALF[kind]
    q, k, v = qkv((1,), 64, 96, 64, kind=kind, seed=15, dtype=dtype)
    q = (3 * q.float()).to(dtype)
    _, out = applied(flash(adapters, kind), [q, k, v])
    expect_equal(
        str(out.dtype), str(dtype), what="the result has the dtype that came", why="the next layer has it"
    )
    truth = want([q, k, v]).out
    error = float(np.sqrt(np.square(arrays(out)[0] - truth).mean() / np.square(truth).mean()))
    # Rounding the result gives 0.2 of this unit, and weights rounded before they meet V as much again; scores that are
    # rounded give 2 and more.
    allowed = 0.6 * torch.finfo(dtype).eps
    expect(
        error <= allowed,
        what="scores, sums and mixture of half-precision inputs are kept in float32",
        why="with 8 bits a sum of a thousand weights stops growing at 256, and a score of 25 may be 24.9 or 25.1",
        counterexample=f"relative error {error:.5f} (root mean square), allowed {allowed:.5f}",
        case=f"Q (1, 64, 64), K and V (1, 96, 64), {dtype}, scores up to 25, {kind}",
    )


@KINDS
def test_arguments_are_left_alone_and_twice_is_the_same(adapters, kind):
    tensors = qkv((1,), 20, 20, 16, kind=kind, seed=16)
    before = [tensor.clone() for tensor in tensors]
    function = flash(adapters, kind)
    first, second = (function.apply(*tensors, True) for _ in range(2))
    for name, now, was in zip("QKV", tensors, before, strict=True):
        expect_equal(
            now,
            was,
            what=f"{name} is not changed in place",
            why="Q *= scale corrupts what the next call reads",
        )
    expect_equal(
        second,
        first,
        what="the same inputs give the same bits",
        why="a run that resumes to the same result needs it; running sums must begin anew with each call",
    )
