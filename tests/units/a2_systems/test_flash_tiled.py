"""FlashAttention in plain torch: a float64 oracle, a byte budget, and the shapes that real models have."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from a2_systems.kernels.flash_tiled import KEY_TILE, FlashAttention, attend_by_tiles, gradients_by_tiles
from a2_systems.kernels.visibility import Visibility

# float64 on both sides: sums of a few hundred terms in another order.
EXACT = 1e-12


def written_out(q, k, v, allowed=None):
    """Attention in float64 with the whole matrix; a query that may see nothing reads zeros."""
    q, k, v = q.double(), k.double(), v.double()
    if q.shape[:-2] != k.shape[:-2]:
        group = q.shape[-3] // k.shape[-3]
        k, v = k.repeat_interleave(group, dim=-3), v.repeat_interleave(group, dim=-3)
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if allowed is None:
        return scores.softmax(dim=-1) @ v, scores.logsumexp(dim=-1)
    scores = scores.masked_fill(~allowed, -torch.inf)
    return scores.softmax(dim=-1).nan_to_num(0.0) @ v, scores.logsumexp(dim=-1)


def causal(q_len, k_len):
    return torch.ones(q_len, k_len, dtype=torch.bool).tril(k_len - q_len)


def inputs(*shapes, dtype=torch.float32, seed=0, size=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [
        (size * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
        for shape in shapes
    ]


def slopes(out, parts, weight):
    return torch.autograd.grad((out * weight.to(out.dtype)).sum(), parts)


@given(
    lead=st.sampled_from([(), (2,), (2, 1), (2, 2, 1)]),
    q_len=st.integers(0, 9),
    k_len=st.integers(1, 9),
    d_k=st.integers(1, 5),
    d_v=st.integers(1, 5),
    group=st.integers(1, 3),
    is_causal=st.booleans(),
    q_tile=st.integers(1, 4),
    k_tile=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_any_tiles_of_any_shape_equal_the_whole(
    lead, q_len, k_len, d_k, d_v, group, is_causal, q_tile, k_tile, seed
):
    shapes = (*lead, group, q_len, d_k), (*lead, k_len, d_k), (*lead, k_len, d_v), (*lead, group, q_len, d_v)
    q, k, v, weight = inputs(*shapes, dtype=torch.float64, seed=seed)
    visibility = Visibility(q_len, k_len, is_causal)
    with torch.no_grad():
        out, logsumexp = attend_by_tiles(q, k, v, visibility, q_tile, k_tile)
        got = gradients_by_tiles(weight, q, k, v, out, logsumexp, visibility, q_tile, k_tile)
    one = k[..., None, :, :], v[..., None, :, :]
    allowed = causal(q_len, k_len) if is_causal else None
    want, want_logsumexp = written_out(
        q, *(part.expand(*lead, group, *part.shape[-2:]) for part in one), allowed
    )
    torch.testing.assert_close(out, want, atol=EXACT, rtol=0)
    torch.testing.assert_close(logsumexp, want_logsumexp, atol=EXACT, rtol=0)
    if not is_causal or q_len <= k_len:  # torch's own softmax has no slope where everything is masked
        for mine, theirs in zip(got, slopes(want, (q, k, v), weight), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-11, rtol=0)
    for gradient in got:
        assert gradient.isfinite().all()


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize(("q_len", "k_len"), [(4, 4), (2, 5), (4, 3)])
def test_gradcheck(q_len, k_len, is_causal):
    q, k, v = inputs((1, 4, q_len, 2), (1, 2, k_len, 2), (1, 2, k_len, 1), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *parts: FlashAttention.apply(*parts, is_causal), (q, k, v))


# How far a kernel may be from float64, next to torch's own on the same numbers. In half precision the last rounding
# decides and both make it; in float32 the order of sums differs and neither order is better.
TIMES_SDPA = 2.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("q_len", "d", "is_causal", "size"),
    [(300, 64, True, 1.0), (257, 48, False, 1.0), (130, 128, True, 8.0)],
)
def test_error_is_at_most_twice_that_of_sdpa(dtype, q_len, d, is_causal, size):
    shape = (2, 3, q_len, d)
    *parts, weight = inputs(shape, shape, shape, shape, dtype=dtype, size=size)
    exact = [part.detach().double().requires_grad_() for part in parts]
    want = written_out(*exact, causal(q_len, q_len) if is_causal else None)[0]
    mine = FlashAttention.apply(*parts, is_causal)
    theirs = F.scaled_dot_product_attention(*parts, is_causal=is_causal)
    assert mine.dtype == dtype
    found = [
        (mine, theirs, want),
        *zip(
            slopes(mine, parts, weight),
            slopes(theirs, parts, weight),
            slopes(want, exact, weight),
            strict=True,
        ),
    ]
    for name, (ours, torchs, truth) in zip(("out", "dQ", "dK", "dV"), found, strict=True):
        error, allowed = ((x.double() - truth).abs().max().item() for x in (ours, torchs))
        assert error <= TIMES_SDPA * allowed, f"{name}: off by {error:.3g}, torch's kernel by {allowed:.3g}"


def test_scores_of_ten_thousand_neither_overflow_nor_blur():
    # Whole numbers: scores are exact in float32, so the answer is too.
    q = torch.tensor([[2e4, 0.0, 0.0, 0.0], [-2e4, 0.0, 0.0, 0.0]]).repeat(100, 1).requires_grad_()
    k = torch.tensor([[1.0, 0, 0, 0], [0.5, 5, 0, 0], [-1, 0, 0, 0]]).repeat(100, 1).requires_grad_()
    (v,) = inputs((300, 3))
    out = FlashAttention.apply(q, k, v)
    torch.testing.assert_close(out.double(), written_out(q, k, v)[0], atol=1e-6, rtol=0)
    for gradient in torch.autograd.grad(out.sum(), (q, k, v)):
        assert gradient.isfinite().all()


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation made."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for part in made if isinstance(made, (list, tuple)) else [made]:
            if isinstance(part, torch.Tensor):
                self.elements = max(self.elements, part.numel())
        return made


@pytest.mark.parametrize("is_causal", [False, True])
def test_no_tensor_is_larger_than_an_input_or_a_tile(is_causal):
    length, d = 1100, 16
    parts = inputs(*[(1, length, d)] * 3)
    saved = []
    with (
        Largest() as largest,
        torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.numel()) or x, lambda x: x),
    ):
        out = FlashAttention.apply(*parts, is_causal)
        shapes = [tuple(part.shape) for part in out.grad_fn.saved_tensors]
        out.sum().backward()
    assert largest.elements == max(length * d, KEY_TILE**2)
    assert sorted(saved) == [length, *[length * d] * 4]
    assert shapes.count((1, length)) == 1


def test_causal_tiles_past_the_diagonal_are_never_multiplied():
    length, d = 8 * KEY_TILE, 16

    def products(is_causal):
        parts = inputs(*[(1, length, d)] * 3)
        with FlopCounterMode(display=False) as counter:
            FlashAttention.apply(*parts, is_causal).sum().backward()
        return counter.get_total_flops()

    # 8 x 8 tiles, 36 of them on the diagonal or below.
    assert products(is_causal=True) * 64 == products(is_causal=False) * 36


def test_only_tiles_on_the_diagonal_have_a_mask():
    visible = Visibility(q_len=12, k_len=20, is_causal=True)
    seen = [(columns.start, mask is not None) for columns, mask in visible.key_tiles(slice(4, 8), 4)]
    assert seen == [(0, False), (4, False), (8, False), (12, True)]


def test_layouts_are_no_matter():
    q, k, v, weight = inputs((2, 9, 3, 4), (2, 11, 3, 4), (2, 11, 3, 4), (2, 3, 9, 4))
    views = [part.transpose(1, 2) for part in (q, k, v)]
    packed = [part.detach().contiguous().requires_grad_() for part in views]
    got, want = FlashAttention.apply(*views, True), FlashAttention.apply(*packed, True)
    torch.testing.assert_close(got, want, atol=0, rtol=0)
    for mine, theirs in zip(slopes(got, (q, k, v), weight), slopes(want, packed, weight), strict=True):
        torch.testing.assert_close(mine, theirs.transpose(1, 2), atol=1e-6, rtol=0)
    # o.sum() hands back a gradient that is one number, expanded.
    one, same = FlashAttention.apply(*packed), FlashAttention.apply(*packed)
    ones = torch.autograd.grad(same, packed, torch.ones_like(same))
    for mine, theirs in zip(torch.autograd.grad(one.sum(), packed), ones, strict=True):
        torch.testing.assert_close(mine, theirs, atol=0, rtol=0)


def test_keys_shared_by_expansion_equal_keys_shared_by_the_kernel():
    q, k, v, weight = inputs((2, 6, 5, 4), (2, 2, 7, 4), (2, 2, 7, 4), (2, 6, 5, 4), dtype=torch.float64)
    shared = FlashAttention.apply(q, k, v, True)
    apart = FlashAttention.apply(q, k.repeat_interleave(3, 1), v.repeat_interleave(3, 1), True)
    torch.testing.assert_close(shared, apart, atol=EXACT, rtol=0)
    for mine, theirs in zip(slopes(shared, (q, k, v), weight), slopes(apart, (q, k, v), weight), strict=True):
        torch.testing.assert_close(mine, theirs, atol=EXACT, rtol=0)


def test_twice_the_same_is_the_same_to_the_bit():
    def once():
        parts = inputs(*[(2, 200, 8)] * 3)
        out = FlashAttention.apply(*parts, True)
        return out, *torch.autograd.grad(out.square().sum(), parts)

    for first, second in zip(once(), once(), strict=True):
        assert torch.equal(first, second)


def test_autocast_leaves_the_inside_alone():
    parts = inputs(*[(1, 40, 8)] * 3)
    plain = FlashAttention.apply(*parts)
    with torch.autocast("cpu", torch.bfloat16):
        out = FlashAttention.apply(*parts)
        got = torch.autograd.grad(out.sum(), parts)
    assert torch.equal(out, plain)
    for mine, theirs in zip(got, torch.autograd.grad(plain.sum(), parts), strict=True):
        assert torch.equal(mine, theirs)


def test_shapes_that_do_not_fit_are_named():
    q, k = inputs((2, 3, 5, 4), (2, 2, 5, 4))
    with pytest.raises(ValueError, match=r"Q \(2, 3, 5, 4\), K \(2, 2, 5, 4\)"):
        FlashAttention.apply(q, k, k)


def test_documents_that_do_not_fit_are_refused():
    q, k = inputs((2, 3, 7, 4), (2, 3, 5, 4))
    ids = torch.zeros(2, 5, dtype=torch.int64)
    with pytest.raises(ValueError, match="q_len 7, k_len 5; wanted q_len <= k_len"):
        FlashAttention.apply(q, k, k, False, ids)
    for wrong in (ids[:1], ids[:, :4]):  # one sequence's documents would be broadcast over both
        with pytest.raises(ValueError, match=r"documents of shape .*\(2, 5\)"):
            FlashAttention.apply(k, k, k, True, wrong)


def test_a_second_derivative_is_refused_rather_than_wrong():
    parts = inputs(*[(1, 4, 2)] * 3)
    (slope, *_) = torch.autograd.grad(FlashAttention.apply(*parts).square().sum(), parts, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
