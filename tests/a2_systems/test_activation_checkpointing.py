"""Activation checkpointing: the same numbers to the bit, the inside gone after the forward pass, back for the other.

What is kept is judged by the tensors that the function makes: whether they still live, whoever would keep them.
"""

import weakref

import pytest
import torch

from tests.harness.explain import Lesson, expect, expect_close, expect_equal, fail

WIDTH = 8


def numbers(*shape, seed=0, grad=False):
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return drawn.requires_grad_() if grad else drawn


class Part:
    """Two matrices and what happens between them; it counts its runs, and knows what it made without holding it."""

    def __init__(self, seed=0, width=WIDTH):
        self.inner = (numbers(4 * width, width, seed=seed) / width**0.5).requires_grad_()
        self.outer = (numbers(width, 4 * width, seed=seed + 100) / (4 * width) ** 0.5).requires_grad_()
        self.calls, self.made = 0, []

    def __call__(self, x):
        self.calls += 1
        hidden = torch.tanh(x @ self.inner.T)
        squared = hidden * hidden.sigmoid()
        self.made += [weakref.ref(hidden), weakref.ref(squared)]
        return x + squared @ self.outer.T

    @property
    def alive(self):
        return sum(made() is not None for made in self.made)


def run(adapters, parts, x, *, checkpointed):
    """Output and gradients of a row of parts, with a step before and one after them."""
    first = numbers(WIDTH, WIDTH, seed=7, grad=True)
    features = x @ first.T
    for part in parts:
        features = adapters.run_checkpointed(part, features) if checkpointed else part(features)
    (features * numbers(*features.shape, seed=8)).sum().backward()
    weights = [first, *(weight for part in parts for weight in (part.inner, part.outer))]
    return features.detach(), [weight.grad for weight in weights], x.grad


@pytest.mark.parametrize("num_parts", [1, 2, 5])
def test_outputs_and_gradients_are_the_same_to_the_bit(adapters, num_parts):
    plain, theirs = (
        run(
            adapters,
            [Part(seed) for seed in range(num_parts)],
            numbers(3, WIDTH, seed=5, grad=True),
            checkpointed=checkpointed,
        )
        for checkpointed in (False, True)
    )
    expect_equal(
        theirs,
        plain,
        what="output and all gradients, the input's among them, are those of the same code without checkpointing",
        why="the same operations run on the same numbers, so nothing may differ, not even the last bit; a difference "
        "means that something was computed twice into a gradient, or once too rarely",
        case=f"{num_parts} parts of two matrices, one step before and a weighted sum after them",
    )


def test_the_inside_is_gone_after_the_forward_pass(adapters):
    part, x = Part(), numbers(3, WIDTH, grad=True)
    out = adapters.run_checkpointed(part, x)
    expect(
        part.alive == 0,
        what="no tensor that the function made is alive when it has returned, but its result",
        why="this is what checkpointing is for: the inside of a block takes some twenty times the bytes of its input",
        counterexample=f"{part.alive} of 2 are still held",
    )
    out.sum().backward()


def test_the_function_runs_twice_and_no_more(adapters):
    part, x = Part(), numbers(3, WIDTH, grad=True)
    out = adapters.run_checkpointed(part, x)
    forward = part.calls
    out.sum().backward()
    expect_equal(
        (forward, part.calls),
        (1, 2),
        what="one call in the forward pass, one more in the backward pass",
        why="each further call costs another forward pass of this part; a step takes twice as long, not a third more",
    )


def test_one_inside_at_a_time(adapters):
    parts = [Part(seed) for seed in range(6)]
    most = []

    def watched(part):
        def call(x):
            out = part(x)
            most.append(sum(each.alive for each in parts))
            return out

        return call

    features = numbers(3, WIDTH, grad=True)
    for part in parts:
        features = adapters.run_checkpointed(watched(part), features)
    features.sum().backward()
    expect(
        max(most) <= 2 and sum(part.alive for part in parts) == 0,
        what="while one part is computed again, the insides of the others are not there, and at the end none is",
        why="if every recomputed inside stays until the end, the peak is as without checkpoints: time paid for nothing",
        counterexample=f"up to {max(most)} tensors of 2 for each part alive at once, "
        f"{sum(part.alive for part in parts)} at the end",
        case="6 parts in a row",
    )


def test_weights_learn_when_no_argument_needs_a_gradient(adapters):
    part = Part()
    out = adapters.run_checkpointed(part, numbers(3, WIDTH))
    expect(
        bool(out.requires_grad),
        what="the result needs a gradient when a weight inside does, although no argument does",
        why="the first block of a model reads embeddings that may be frozen; its weights would stay as they are, "
        "without an error",
    )
    out.sum().backward()
    plain = Part()
    plain(numbers(3, WIDTH)).sum().backward()
    expect_equal(
        [part.inner.grad, part.outer.grad],
        [plain.inner.grad, plain.outer.grad],
        what="the weights' gradients are those without checkpointing",
        why="the first block of a model would learn something else than the others",
        case="an argument without requires_grad",
    )


def test_the_same_numbers_are_drawn_again(adapters):
    def drop(x):
        return torch.nn.functional.dropout(x * 1.0, 0.5)

    x = numbers(50, 20, grad=True)
    torch.manual_seed(1)
    out = adapters.run_checkpointed(drop, x)
    torch.rand(17)  # the rest of the model draws too
    out.sum().backward()
    expect_equal(
        x.grad != 0,
        out.detach() != 0,
        what="recomputation drops the same numbers as the first time",
        why="otherwise the gradient is that of another network than the one whose loss was computed; training goes on "
        "and learns worse",
        case="dropout 0.5, other random numbers drawn before the backward pass",
    )


def test_random_numbers_go_on_as_if_nothing_was_computed_again(adapters):
    def drop(x):
        return torch.nn.functional.dropout(x * 1.0, 0.5)

    drawn = []
    for checkpointed in (False, True):
        torch.manual_seed(2)
        x = numbers(50, 20, grad=True)
        out = adapters.run_checkpointed(drop, x) if checkpointed else drop(x)
        torch.rand(17)  # the rest of the model draws too
        out.sum().backward()
        drawn.append(torch.rand(5))
    expect_equal(
        drawn[1],
        drawn[0],
        what="after the backward pass the generator stands where it would stand without checkpointing",
        why="a generator set back by the recomputation gives the next step the random numbers of this one",
    )


@pytest.mark.parametrize("inside", [True, False], ids=["backward inside autocast", "backward outside"])
def test_the_precision_is_that_of_the_first_run(adapters, inside):
    seen, weight, x = [], numbers(WIDTH, WIDTH, seed=3, grad=True), numbers(3, WIDTH, grad=True)

    def product(features):
        seen.append(torch.is_autocast_enabled("cpu"))
        return features @ weight.T

    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = adapters.run_checkpointed(product, x)
        out = out + (x @ weight.T)  # the same weight once more, beside the checkpoint
        if inside:
            out.float().sum().backward()
    if not inside:
        out.float().sum().backward()
    expect_equal(
        seen,
        [True, True],
        what="recomputation runs under the autocast of the forward pass, wherever backward is called",
        why="backward is usually called outside the autocast block: the inside would come back in float32, twice as "
        "large and with other numbers",
    )
    ones = torch.ones(3, WIDTH).bfloat16().float()
    want = 2 * (ones.T @ x.detach().bfloat16().float())
    expect(
        weight.grad is not None, what="the weight has a gradient", why="a weight without one does not learn"
    )
    expect_close(
        weight.grad,
        want,
        what="a weight used inside the checkpoint and beside it gets both gradients",
        why="tied weights stand inside and outside of checkpoints",
        atol=0.05,  # bfloat16 keeps 8 bits of sums of size up to 5
        case="x W^T in bfloat16, inside a checkpoint and once more outside",
    )


def test_arguments_and_results_of_every_kind(adapters):
    def split(x, scale, y, flag, nothing):
        assert flag is True
        assert nothing is None
        return x * scale + y, (x * y), y.detach() + 1

    x, y = numbers(4, seed=1, grad=True), numbers(4, seed=2)
    total, product, other = adapters.run_checkpointed(split, x, 3, y, True, None)
    (total * torch.arange(4.0)).sum().backward()  # the second result is not used
    expect_equal(
        [total.detach(), product.detach(), other, x.grad, y.grad],
        [3 * x.detach() + y, x.detach() * y, y + 1, 3 * torch.arange(4.0), None],
        what="numbers, flags and None pass as they are; results are a tuple; unused ones weigh nothing; an argument "
        "that needs no gradient gets none",
        why="a block takes its layer number, its positions and its mask beside the features",
        case="f(x, 3, y, True, None) -> 3 x + y, x y, y + 1; only the first is used",
    )


def test_incoming_gradients_count(adapters):
    x = numbers(5, grad=True)
    (adapters.run_checkpointed(torch.exp, x) * 10).sum().backward()
    expect_close(
        x.grad,
        10 * x.detach().exp(),
        what="the gradient that comes from behind is passed through the function",
        why="only the last part of a model has the loss right behind it",
        atol=0.0,
        rtol=1e-6,  # two roundings of float32
        case="10 exp(x)",
    )


def test_checkpoints_inside_checkpoints(adapters):
    parts, plain = [Part(seed) for seed in range(4)], [Part(seed) for seed in range(4)]

    def pair(first, second):
        def call(x):
            return second(adapters.run_checkpointed(first, x))

        return call

    x, y = numbers(3, WIDTH, seed=4, grad=True), numbers(3, WIDTH, seed=4, grad=True)
    out = adapters.run_checkpointed(pair(*parts[:2]), x)
    out = adapters.run_checkpointed(pair(*parts[2:]), out)
    out.pow(2).sum().backward()
    want = y
    for part in plain:
        want = part(want)
    want.pow(2).sum().backward()
    expect_equal(
        [x.grad, *(part.inner.grad for part in parts), *(part.outer.grad for part in parts)],
        [y.grad, *(part.inner.grad for part in plain), *(part.outer.grad for part in plain)],
        what="a checkpoint inside another one gives the gradients of the plain code",
        why="nested checkpoints reach memory that grows with the logarithm of the depth",
        case="4 parts: two outer checkpoints of two parts, the first of each in a checkpoint of its own",
    )


def test_gradients_add_up_over_two_steps(adapters):
    part, plain = Part(), Part()
    for seed in (1, 2):
        adapters.run_checkpointed(part, numbers(3, WIDTH, seed=seed, grad=True)).sum().backward()
        plain(numbers(3, WIDTH, seed=seed, grad=True)).sum().backward()
    expect_equal(
        [part.inner.grad, part.outer.grad],
        [plain.inner.grad, plain.outer.grad],
        what="a second backward pass adds to the gradients of the first",
        why="that is how a batch is cut into microbatches",
    )


def test_nothing_is_recorded_without_gradients(adapters):
    part = Part()
    with torch.no_grad():
        out = adapters.run_checkpointed(part, numbers(3, WIDTH, grad=True))
    expect_equal(
        (out.requires_grad, part.calls),
        (False, 1),
        what="under no_grad it is a plain call",
        why="evaluation runs the same model, and must keep nothing",
    )


def test_an_overwritten_argument_is_noticed(adapters):
    x = numbers(5, grad=True)
    features = x * 1.0
    out = adapters.run_checkpointed(lambda features: features.pow(2), features)
    want = 2 * features.detach().clone()
    with torch.no_grad():
        features.mul_(3)
    try:
        out.sum().backward()
    except Lesson:
        raise
    except RuntimeError:
        return  # autograd's own word for a saved tensor that changed
    if x.grad is None or not torch.equal(x.grad, want):
        fail(
            what="an argument overwritten between the passes is refused, or has been kept as it was",
            why="plain autograd refuses it; a recomputation from changed numbers gives a wrong gradient without a word",
            counterexample=f"x^2 with x tripled in between: got {x.grad}, wanted {want}",
        )
