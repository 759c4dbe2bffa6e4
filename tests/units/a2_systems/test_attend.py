"""Kernels in the model's slot: the same logits and gradients as the reference, and documents that do not meet."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from a2_systems.kernels.attend import (
    DocumentAttention,
    best_attention,
    flash_attention,
    sdpa_attention,
    tiled_attention,
)
from a2_systems.kernels.flash_tiled import KEY_TILE
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door

SMALL = ModelConfig(
    vocab_size=50, context_length=16, d_model=32, num_layers=2, num_heads=4, d_ff=64, num_kv_heads=2
)
# float32, two layers: sums in another order.
ATOL = 1e-5


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return door("a1_basics").build_model(SMALL)


def heads(q_len, k_len, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (2, 4, q_len, 8), (2, 2, k_len, 8), (2, 2, k_len, 8)
    return [torch.randn(*shape, generator=generator).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("attend", [tiled_attention, sdpa_attention, best_attention])
def test_a_model_gives_the_same_with_each(model, attend):
    token_ids = torch.randint(50, (3, 16), generator=torch.Generator().manual_seed(1))

    def slopes(logits):
        return torch.autograd.grad(logits.square().sum(), list(model.parameters()))

    want, got = model(token_ids), model(token_ids, attend=attend)
    torch.testing.assert_close(got, want, atol=ATOL, rtol=ATOL)
    for mine, theirs in zip(slopes(got), slopes(want), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)  # sums over 48 tokens of squares of 50


@pytest.mark.parametrize("attend", [tiled_attention, sdpa_attention, best_attention])
@pytest.mark.parametrize("q_len", [1, 3, 7])
def test_the_last_queries_alone_give_what_they_give_among_all(attend, q_len):
    q, k, v = heads(7, 7)
    whole = attend(0, q, k, v)
    torch.testing.assert_close(attend(0, q[:, :, -q_len:], k, v), whole[:, :, -q_len:], atol=ATOL, rtol=0)


def test_a_packed_document_gives_what_it_gives_alone(model):
    generator = torch.Generator().manual_seed(2)
    lengths = [[5, 1, 10], [8, 8]]
    rows = [[torch.randint(50, (n,), generator=generator) for n in row] for row in lengths]
    token_ids = torch.stack([torch.cat(row) for row in rows])
    positions = torch.stack([torch.cat([torch.arange(n) for n in row]) for row in lengths])
    documents = torch.stack([torch.repeat_interleave(torch.arange(len(n)), torch.tensor(n)) for n in lengths])
    packed = model(token_ids, positions, attend=DocumentAttention(documents))
    for row, parts in zip(packed, rows, strict=True):
        for got, ids in zip(row.split([len(part) for part in parts]), parts, strict=True):
            torch.testing.assert_close(got, model(ids[None])[0], atol=ATOL, rtol=ATOL)


def test_documents_in_any_order_of_numbers_are_masked_rightly():
    q, k, v = heads(9, 9, seed=3)
    documents = torch.tensor([[3, 1, 3, 1, 1, 0, 3, 0, 2], [0, 0, 0, 0, 0, 0, 0, 0, 0]])
    allowed = (documents[:, :, None] == documents[:, None, :]) & torch.ones(9, 9, dtype=torch.bool).tril()
    got = flash_attention(q, k, v, is_causal=True, documents=documents)
    spread = (part.repeat_interleave(2, dim=1) for part in (k, v))
    want = torch.nn.functional.scaled_dot_product_attention(q, *spread, attn_mask=allowed[:, None])
    torch.testing.assert_close(got, want, atol=ATOL, rtol=0)
    for mine, theirs in zip(
        *(torch.autograd.grad(out.sin().sum(), (q, k, v)) for out in (got, want)), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=ATOL, rtol=0)


def test_tiles_between_documents_are_never_multiplied():
    length = 4 * KEY_TILE
    q = torch.randn(2, 1, length, 8)
    documents = torch.arange(length).div(2 * KEY_TILE, rounding_mode="floor").expand(2, -1)

    def flops(**options):
        with FlopCounterMode(display=False) as counter:
            flash_attention(q, q, q, **options)
        return counter.get_total_flops()

    # Of 4 x 4 tiles: 8 within two documents of 2 x 2 tiles, 6 of them on the diagonal or below.
    assert flops(is_causal=False, documents=documents) * 16 == flops(is_causal=False) * 8
    assert flops(is_causal=True, documents=documents) * 16 == flops(is_causal=False) * 6


def test_documents_of_another_shape_are_named():
    q, k, v = heads(5, 7)
    with pytest.raises(ValueError, match=r"documents of shape \(2, 5\).*\(2, 7\)"):
        flash_attention(q, k, v, is_causal=True, documents=torch.zeros(2, 5, dtype=torch.int64))
