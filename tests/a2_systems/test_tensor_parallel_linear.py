"""Linear layers split over ranks: outputs, gradients and messages of both kinds, alone and in a row."""

import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.harness.ranks import Collectives, on_ranks

# float64: sums of at most 24 products of numbers near one, in another order. A lost or doubled term is off by 1e-1.
ATOL = 1e-12
OUTPUT_BYTES = 2 * 5 * 4 * 8  # (2, 5, 4) numbers of float64
WHY_COLUMN = "the next layer uses the part as it is; what is sent without need costs as much as the product"
WHY_ROW = "every rank has a term of the output; only their sum is the output"


def numbers(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone().requires_grad_()


def part(tensor: torch.Tensor, rank: int, num_ranks: int, dim: int) -> torch.Tensor:
    return tensor.chunk(num_ranks, dim)[rank].clone()


def plain(x: torch.Tensor, w: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Output and gradients of the layer on one rank."""
    x, w = leaf(x), leaf(w)
    out = x @ w.T
    out.backward(up)
    assert x.grad is not None
    assert w.grad is not None
    return out.detach(), x.grad, w.grad


def expect_one_message(calls, num_ranks: int, case: str, where: str) -> None:
    expect(
        len(calls) == 1 or (num_ranks == 1 and not calls),
        what=f"one message in the {where}",
        why="with eight ranks these messages are a third of the time already",
        counterexample=f"sent {calls}",
        case=case,
    )
    expect(
        sum(size for _, size in calls) <= OUTPUT_BYTES,
        what=f"the message of the {where} is no larger than what is summed",
        why="gathering every rank's term to add them up sends N times as much",
        counterexample=f"sent {calls}, wanted {OUTPUT_BYTES} bytes",
        case=case,
    )


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_a_column_part_is_a_part_of_the_output(adapters, num_ranks):
    x, w, up = numbers(2, 5, 4, seed=1), numbers(12, 4, seed=2), numbers(2, 5, 12, seed=3)
    want, want_dx, want_dw = plain(x, w, up)

    def on_rank(rank):
        mine_x, mine_w = leaf(x), leaf(part(w, rank, num_ranks, 0))
        with Collectives() as forward:
            out = adapters.column_parallel_linear(in_features=mine_x, weight_part=mine_w)
        with Collectives() as backward:
            out.backward(part(up, rank, num_ranks, -1))
        return [out.detach(), mine_x.grad, mine_w.grad, forward.calls, backward.calls]

    for rank, (out, dx, dw, forward, backward) in enumerate(on_ranks(num_ranks, on_rank)):
        case = f"rank {rank} of {num_ranks}, x (2, 5, 4), weight (12, 4)"
        expect_close(
            out,
            part(want, rank, num_ranks, -1),
            what="a rank with some rows of the weight computes those outputs",
            why=WHY_COLUMN,
            atol=ATOL,
            case=case,
        )
        expect_close(
            dw,
            part(want_dw, rank, num_ranks, 0),
            what="the gradient of a part of the weight is that part of the gradient",
            why="ranks would update their parts by something else than the model's gradient",
            atol=ATOL,
            case=case,
        )
        expect_close(
            dx,
            want_dx,
            what="the gradient of the input is the sum over all ranks, on all ranks",
            why="each used the input for other outputs; the layer below would get a part of its gradient only",
            atol=ATOL,
            case=case,
        )
        expect_equal(forward, [], what="nothing is sent in the forward pass", why=WHY_COLUMN, case=case)
        expect_one_message(backward, num_ranks, case, "backward pass of a column-parallel layer")


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_a_row_part_gives_the_whole_output(adapters, num_ranks):
    x, w, up = numbers(2, 5, 12, seed=4), numbers(4, 12, seed=5), numbers(2, 5, 4, seed=6)
    want, want_dx, want_dw = plain(x, w, up)

    def on_rank(rank):
        mine_x, mine_w = leaf(part(x, rank, num_ranks, -1)), leaf(part(w, rank, num_ranks, 1))
        with Collectives() as forward:
            out = adapters.row_parallel_linear(in_features_part=mine_x, weight_part=mine_w)
        with Collectives() as backward:
            out.backward(up.clone())
        return [out.detach(), mine_x.grad, mine_w.grad, forward.calls, backward.calls]

    for rank, (out, dx, dw, forward, backward) in enumerate(on_ranks(num_ranks, on_rank)):
        case = f"rank {rank} of {num_ranks}, x (2, 5, 12), weight (4, 12)"
        expect_close(
            out,
            want,
            what="the output is the sum of all ranks' terms, on all ranks",
            why=WHY_ROW,
            atol=ATOL,
            case=case,
        )
        for got, wanted, dim, name in ((dx, want_dx, -1, "input"), (dw, want_dw, 1, "weight")):
            expect_close(
                got,
                part(wanted, rank, num_ranks, dim),
                what=f"the gradient of a part of the {name} is that part of the gradient: each term counts once",
                why="an all-reduce that is also its own backward multiplies gradients by the number of ranks",
                atol=ATOL,
                case=case,
            )
        expect_one_message(forward, num_ranks, case, "forward pass of a row-parallel layer")
        expect_equal(
            backward,
            [],
            what="nothing is sent in the backward pass",
            why="all ranks have the gradient of the output already",
            case=case,
        )


def test_a_feed_forward_in_two_layers(adapters):
    """Column, then row: a gated feed-forward whose hidden units never meet."""
    x, up = numbers(3, 6, seed=7), numbers(3, 6, seed=8)
    w1, w3, w2 = numbers(8, 6, seed=9), numbers(8, 6, seed=10), numbers(6, 8, seed=11)
    whole = [leaf(each) for each in (x, w1, w3, w2)]
    out = (torch.tanh(whole[0] @ whole[1].T) * (whole[0] @ whole[2].T)) @ whole[3].T
    out.backward(up)

    def on_rank(rank):
        mine = [leaf(x), *(leaf(part(w, rank, 2, dim)) for w, dim in ((w1, 0), (w3, 0), (w2, 1)))]
        gate = adapters.column_parallel_linear(in_features=mine[0], weight_part=mine[1])
        value = adapters.column_parallel_linear(in_features=mine[0], weight_part=mine[2])
        found = adapters.row_parallel_linear(in_features_part=torch.tanh(gate) * value, weight_part=mine[3])
        found.backward(up.clone())
        return [found.detach(), *(each.grad for each in mine)]

    for rank, (found, dx, *dws) in enumerate(on_ranks(2, on_rank)):
        case = f"rank {rank} of 2, 8 hidden units"
        what = "two column-parallel layers, a bend and a row-parallel layer are the feed-forward"
        why = "that is how every block of a large model is split"
        expect_close(found, out.detach(), what=what, why=why, atol=ATOL, case=case)
        expect_close(dx, whole[0].grad, what=f"{what}; the input's gradient", why=why, atol=ATOL, case=case)
        for dw, w, dim in zip(dws, whole[1:], (0, 0, 1), strict=True):
            wanted = part(w.grad, rank, 2, dim)
            expect_close(dw, wanted, what=f"{what}; a weight's gradient", why=why, atol=ATOL, case=case)


def test_what_is_given_stays_as_it_was(adapters):
    x, w, up = numbers(3, 4, seed=12), numbers(4, 4, seed=13), numbers(3, 4, seed=14)

    def on_rank(rank):
        changed = []
        for split in (adapters.column_parallel_linear, adapters.row_parallel_linear):
            given = [leaf(x), leaf(w), up.clone()]
            split(*given[:2]).backward(given[2])
            changed.append(not all(torch.equal(*pair) for pair in zip(given, (x, w, up), strict=True)))
        return changed

    for found in on_ranks(2, on_rank):
        expect_equal(
            found,
            [False, False],
            what="inputs, weights and incoming gradients are not overwritten",
            why="an all-reduce works in place: on a tensor that others read too, it changes theirs",
            case="column-parallel, row-parallel",
        )


def test_an_input_without_gradient_trains_its_weights(adapters):
    x, w = numbers(3, 4, seed=15), numbers(4, 4, seed=16)

    def on_rank(rank):
        column, row = leaf(w), leaf(w)
        adapters.column_parallel_linear(x.clone(), column).sum().backward()
        adapters.row_parallel_linear(x.clone(), row).sum().backward()
        return [column.grad, row.grad]

    for found in on_ranks(2, on_rank):
        for gradient in found:
            expect_close(
                gradient,
                torch.ones(4, 3, dtype=torch.float64) @ x,
                what="weights have their gradient when the input needs none",
                why="the first layer reads data, and layers above frozen ones read what needs no gradient",
                atol=ATOL,
            )
