"""FSDP: what is held and what is sent, when, and in which order."""

import itertools
import os
import select

import pytest
import torch

from tests.a2_systems.sharded import one_step, telling
from tests.harness.explain import expect, expect_equal
from tests.harness.living import Living
from tests.harness.ranks import Collectives, on_ranks

GATHERS, REDUCES = "allgather", "reduce_scatter"
STUCK_SECONDS = 20.0  # a right answer never waits: the byte is written before rank 1 needs it
WIDTHS = [2, 4, 8, 16, 32, 64]  # five matrices of distinct sizes: a message's bytes tell whose it is
BYTES = [4 * a * b for a, b in itertools.pairwise(WIDTHS)]


def test_whole_matrices_are_given_back(adapters):
    layers, width, ranks = 32, 64, 2
    matrix = 4 * width * width
    slack = (
        5 * matrix // 2
    )  # half a matrix of activations; gloo's two threads let go of a message a little late

    def watched(rank):
        at = {"forward": [], "backward": []}

        def tell(direction, which):
            at[direction].append(living.bytes())

        with Living() as living:
            model = adapters.get_fsdp(telling([width] * (layers + 1), tell))
            start = living.bytes()
            one_step(adapters, model, width)
            for p in model.parameters():
                p.grad = None
            at["forward"], at["backward"] = [], []
            out = model(torch.ones(1, width, requires_grad=True)).sum()
            between, most = (
                living.bytes(),
                max(at["forward"]),
            )  # layers may compute again in the backward pass
            out.backward()
            adapters.fsdp_on_after_backward(model, torch.optim.SGD(model.parameters(), lr=0.0))
            end = living.bytes()
        return {
            "start": start,
            "forward": most,
            "between": between,
            "backward": max(at["backward"]),
            "end": end,
        }

    own = layers * matrix // ranks
    limits = {
        "start": (own, "after wrapping: this rank's shards, and no whole matrix"),
        "forward": (own + 4 * matrix, "a layer computes in the forward pass: its matrix and the next layer's"),
        "between": (own, "between forward and backward pass: no whole matrix, also not in the graph"),
        "backward": (2 * own + 7 * matrix, "a layer computes in the backward pass: two, and gradients on their way"),
        "end": (2 * own, "after the backward pass: shards, and their gradients"),
    }  # fmt: skip
    for rank, found in enumerate(on_ranks(ranks, watched)):
        for key, (limit, when) in limits.items():
            expect(
                found[key] <= limit + slack,
                what="whole matrices, and their gradients, are there while they are used, and then no more",
                why="what is not given back adds up over the layers until every rank holds the whole model",
                counterexample=f"{found[key]:,} bytes, allowed {limit + slack:,} (a matrix has {matrix:,})",
                case=f"{when}; {layers} layers, rank {rank} of {ranks}",
            )


def messages(adapters, dtype=None):
    """Rank 1's collectives in the second of two steps, forward and backward, with marks where layers compute."""

    def watched(rank):
        log = Collectives()
        module = telling(WIDTHS, lambda direction, which: log.mark(f"{direction} {which}"))
        model = adapters.get_fsdp(module, dtype)
        one_step(adapters, model, WIDTHS[0])
        log.calls.clear()
        with log:
            out = model(torch.ones(1, WIDTHS[0], requires_grad=True)).float().sum()
            log.mark("between")
            out.backward()
            adapters.fsdp_on_after_backward(model, torch.optim.SGD(model.parameters(), lr=0.0))
        return log.calls

    calls = list(on_ranks(2, watched)[1])
    cut = calls.index(("between", 0))
    return calls[:cut], calls[cut + 1 :]


def sizes_of(calls, kind):
    return [size for name, size in calls if name.startswith(kind)]


def test_every_matrix_travels_three_times_and_nothing_else(adapters):
    forward, backward = messages(adapters)
    case = f"five layers of {BYTES} bytes, no other parameters, the second of two steps"
    expect_equal(
        sizes_of(forward, GATHERS),
        BYTES,
        what="the forward pass gathers each matrix once, in the order of the layers",
        why="a matrix is needed whole by the layer that computes with it, and by nobody else",
        case=case,
    )
    expect_equal(
        sizes_of(backward, GATHERS),
        BYTES[::-1],
        what="the backward pass gathers each matrix once more, from the last layer to the first",
        why="what was kept from the forward pass would be the whole model",
        case=case,
    )
    expect_equal(
        sizes_of(backward, REDUCES),
        BYTES[::-1],
        what="each gradient leaves by a reduce-scatter, in float32, as soon as its layer is done",
        why="an all-reduce sends twice as much, and gives every rank what only one of them needs",
        case=case,
    )
    words = sum(size for _, size in forward + backward) - 3 * sum(BYTES)
    expect(
        words <= 256,
        what="nothing else travels: three times the model in a step, where plain data parallelism sends two",
        why="the price of sharding is half as much again; more is a mistake",
        counterexample=f"{words} bytes more; forward {forward}, backward {backward}",
        case=case,
    )


def test_the_next_matrix_is_under_way_and_not_the_one_after(adapters):
    forward, backward = messages(adapters)
    last = len(BYTES) - 1
    for calls, direction, order in (
        (forward, "forward", range(5)),
        (backward, "backward", range(last, -1, -1)),
    ):
        for turn, which in enumerate(order):
            if (f"{direction} {which}", 0) not in calls:
                continue
            asked = len(sizes_of(calls[: calls.index((f"{direction} {which}", 0))], GATHERS))
            wanted = min(turn + 2, 5)
            expect(
                asked == wanted,
                what="while a layer computes, the next layer's matrix is on its way, and that of the one after is not",
                why="asked for only when it is needed it is waited for; asked for too early it takes memory: one is "
                "asked for when the layer two before it is done",
                counterexample=f"{asked} matrices were asked for when layer {which} computes; wanted {wanted}",
                case=f"{direction} pass of five layers, the second of two steps",
            )


def held_up(adapters, direction, stop, go):
    """Whether rank 0 comes to layer `go` while rank 1 stands still in layer `stop`, in the second of two steps."""
    read, write = os.pipe()

    def works(rank):
        found, is_second = [], []

        def tell(now, which):
            if not is_second or now != direction or found:
                return
            if rank == 0 and which == go:
                os.write(write, b".")
                found.append(True)
            if rank == 1 and which == stop:
                found.append(bool(select.select([read], [], [], STUCK_SECONDS)[0]))

        model = adapters.get_fsdp(telling([8] * 7, tell))
        one_step(adapters, model, 8)
        is_second.append(True)
        one_step(adapters, model, 8)
        return found

    try:
        (went_on,) = on_ranks(2, works)[1]
    finally:
        os.close(read)
        os.close(write)
    return not went_on


def test_a_layer_computes_while_the_next_matrix_travels(adapters):
    expect(
        not held_up(adapters, "forward", stop=2, go=3),
        what="a layer computes while the matrix of the next one is on its way",
        why="a gather that is waited for as soon as it is asked for hides nothing",
        counterexample="rank 0 did not come to layer 3, whose matrix is there, until rank 1 asked for that of layer 4",
        case="six layers; rank 1 stands still in layer 2 of the second forward pass",
    )


def test_backward_goes_on_while_a_gradient_travels(adapters):
    expect(
        not held_up(adapters, "backward", stop=3, go=2),
        what="backward goes on while a gradient is on its way",
        why="a reduce-scatter that is waited for at once is no overlap: the slowest rank stops all others",
        counterexample="rank 0 did not come to layer 2, whose matrix is there, before rank 1 sent its part",
        case="six layers; rank 1 stands still in layer 3 of the second backward pass",
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_matrices_travel_in_the_compute_dtype_and_gradients_in_float32(adapters, dtype):
    forward, backward = messages(adapters, dtype)
    halves = [size // 2 for size in BYTES]
    expect_equal(
        sizes_of(forward, GATHERS) + sizes_of(backward, GATHERS),
        halves + halves[::-1],
        what="with compute_dtype matrices are cast before they travel",
        why="half of the bytes is half of the reason for it",
        case=f"{dtype}, five layers of {BYTES} bytes in float32",
    )
    expect_equal(
        sizes_of(backward, REDUCES),
        BYTES[::-1],
        what="gradients are summed over the ranks in float32",
        why="a sum over many ranks in half precision loses what training lives on",
        case=f"{dtype}, five layers of {BYTES} bytes in float32",
    )
