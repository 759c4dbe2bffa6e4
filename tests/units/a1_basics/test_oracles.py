"""The oracles are right: they agree with torch where torch has the same thing, and with arithmetic by hand."""

import math

import numpy as np
import torch

from tests.oracles import adamw, attention, layers, rope, slopes, transformer

# Both sides compute in float64, in another order.
ATOL = 1e-10


def test_attention_oracle_agrees_with_torch() -> None:
    random = np.random.default_rng(0)
    q, k, v = (
        random.normal(size=(2, 3, 4, 8)),
        random.normal(size=(2, 3, 6, 8)),
        random.normal(size=(2, 3, 6, 5)),
    )
    mask = random.random((4, 6)) < 0.6
    mask[:, 0] = True
    for used in (None, mask):
        want = torch.nn.functional.scaled_dot_product_attention(
            *(torch.from_numpy(x) for x in (q, k, v)),
            attn_mask=None if used is None else torch.from_numpy(used),
        )
        np.testing.assert_allclose(attention.attention(q, k, v, used), want.numpy(), atol=ATOL)


def test_attention_oracle_gives_masked_keys_no_weight_at_all() -> None:
    weights = attention.weights(
        np.ones((2, 4)), np.array([[1e9] * 4, [1.0] * 4]), np.array([[0, 1], [1, 1]], bool)
    )
    assert weights.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_adamw_oracle_agrees_with_torch() -> None:
    random = np.random.default_rng(1)
    start, gradients = random.normal(size=(2, 3)), [random.normal(size=(2, 3)) for _ in range(6)]
    gradients[2] = None
    settings = [
        adamw.Settings(lr=0.1 / (i + 1), betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2) for i in range(6)
    ]
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.AdamW([parameter], lr=1.0, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2)
    for gradient, now, want in zip(gradients, settings, adamw.path(start, gradients, settings), strict=True):
        optimizer.param_groups[0]["lr"] = now.lr
        parameter.grad = None if gradient is None else torch.from_numpy(gradient)
        optimizer.step()
        np.testing.assert_allclose(parameter.detach().numpy(), want, atol=ATOL)


def test_adamw_forms_agree_where_sources_do_and_differ_where_they_do_not() -> None:
    start, gradients = np.array([2.0]), [np.array([4.0]), np.array([1.0])]
    exact = [adamw.Settings(lr=0.1, eps=0.0)] * 2  # neither eps nor decay: all four forms are one
    ends = [adamw.path(start, gradients, exact, form)[-1][0] for form in adamw.FORMS]
    np.testing.assert_allclose(ends, ends[0], atol=ATOL)
    rough = [adamw.Settings(lr=0.1, eps=0.5, weight_decay=0.5)] * 2
    ends = [round(adamw.path(start, gradients, rough, form)[-1][0], 6) for form in adamw.FORMS]
    assert len(set(ends)) == 4


def test_rope_oracle_is_a_product_of_complex_numbers() -> None:
    random = np.random.default_rng(2)
    x, positions = random.normal(size=(2, 5, 6)), random.integers(0, 50, (2, 5))
    angles = positions[..., None] * 100.0 ** (-np.arange(0, 6, 2) / 6)
    want = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
    got = rope.rotate(x, positions, 100.0)
    np.testing.assert_allclose(got[..., 0::2], want.real, atol=ATOL)
    np.testing.assert_allclose(got[..., 1::2], want.imag, atol=ATOL)
    assert math.isclose(rope.rotate(np.array([[1.0, 0.0]]), np.array([1]), 10.0)[0, 1], math.sin(1))


def test_layer_oracles_agree_with_torch() -> None:
    random = np.random.default_rng(2)
    x, w, gain = random.normal(size=(2, 3, 4)), random.normal(size=(5, 4)), random.normal(size=4)
    tensor = torch.from_numpy
    functional = torch.nn.functional
    pairs = [
        (layers.linear(x, w), functional.linear(tensor(x), tensor(w))),
        (layers.rms_norm(x, gain, 0.1), functional.rms_norm(tensor(x), (4,), tensor(gain), 0.1)),
        (layers.silu(100 * x), functional.silu(tensor(100 * x))),
        (layers.softmax(100 * x, 1), functional.softmax(tensor(100 * x), 1)),
        (
            np.array(layers.cross_entropy(100 * x, np.arange(6).reshape(2, 3) % 4)),
            functional.cross_entropy(tensor(100 * x).reshape(6, 4), torch.arange(6) % 4),
        ),
    ]
    for got, want in pairs:
        np.testing.assert_allclose(got, want.numpy(), atol=ATOL)


def test_slopes_agree_with_the_derivative_of_silu() -> None:
    at = np.linspace(-5, 5, 7)
    found = slopes.slopes(lambda x: float(layers.silu(x).sum()), at)
    np.testing.assert_allclose(found, layers.silu_slope(at), atol=1e-8)  # central differences


def test_self_attention_oracle_agrees_with_torch_where_there_are_no_positions() -> None:
    random = np.random.default_rng(3)
    x, weights = random.normal(size=(2, 5, 8)), [random.normal(size=(8, 8)) for _ in range(4)]
    library = torch.nn.MultiheadAttention(8, 2, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        library.in_proj_weight.copy_(torch.from_numpy(np.concatenate(weights[:3])))
        library.out_proj.weight.copy_(torch.from_numpy(weights[3]))
        later = torch.ones(5, 5, dtype=torch.bool).triu(1)
        want = library(*[torch.from_numpy(x)] * 3, attn_mask=later, need_weights=False)[0]
    np.testing.assert_allclose(transformer.self_attention(x, *weights, 2), want.numpy(), atol=ATOL)
