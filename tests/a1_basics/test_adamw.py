"""AdamW: laws of step size, decay, groups, counts and resume, then a float64 oracle.

Sources differ on two details: whether the decay comes before or after the update, and whether eps stands
beside the bias-corrected root or the raw one. All four combinations are accepted (`tests/oracles/adamw.py`).
"""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal
from tests.oracles.adamw import FORMS, Settings, path

# float64 parameters; an implementation that keeps its averages in float32 is good to 1e-7 a step. The laws
# that wrong implementations break move parameters by a good part of lr, here 0.1.
ATOL = 1e-5
# float32 parameters of size 1 to 5 round by up to 2.4e-7 in each of 30 steps.
ATOL_FLOAT32 = 5e-5
SETTINGS = Settings(lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def parameter(values, dtype=torch.float64) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(np.array(values), dtype=dtype))


def keywords(settings: Settings) -> dict:
    return {name: getattr(settings, name) for name in ("lr", "betas", "eps", "weight_decay")}


def optimizer_of(adapters, parameters, settings: Settings = SETTINGS):
    return adapters.get_adamw_cls()(parameters, **keywords(settings))


def give(p: torch.nn.Parameter, gradient) -> None:
    p.grad = None if gradient is None else torch.tensor(np.array(gradient), dtype=p.dtype)


def values_of(p: torch.nn.Parameter) -> np.ndarray:
    return p.detach().double().numpy().copy()


def expect_adamw(got, start, gradients, settings, *, what, why, case, atol=ATOL) -> None:
    """The values after each step follow one of the accepted forms; on failure show the nearest."""
    wanted = [np.stack(path(start, gradients, settings, form)) for form in FORMS]
    got = np.stack(got)
    nearest = min(wanted, key=lambda want: np.nan_to_num(np.abs(got - want), nan=np.inf).max())
    expect_close(got, nearest, what=what, why=why, case=case, atol=atol)


def test_it_is_an_optimizer_for_any_iterable_of_parameters(adapters):
    optimizer_class = adapters.get_adamw_cls()
    expect(
        isinstance(optimizer_class, type) and issubclass(optimizer_class, torch.optim.Optimizer),
        what="get_adamw_cls() returns a subclass of torch.optim.Optimizer",
        why="schedules, checkpoints and sharding work through param_groups, state and state_dict of that "
        "class",
        counterexample=f"got {optimizer_class!r}",
    )
    parameters = [parameter([1.0, 2.0]), parameter([[3.0]])]
    optimizer = optimizer_of(adapters, (p for p in parameters))
    for p in parameters:
        give(p, np.ones(p.shape))
    returned = optimizer.step()
    expect(
        returned is None,
        what="step() without a closure returns None",
        why="that is the contract of torch.optim.Optimizer",
        counterexample=f"got {returned!r}",
    )
    for p, start in zip(parameters, ([1.0, 2.0], [[3.0]]), strict=True):
        expect_adamw(
            [values_of(p)],
            np.array(start),
            [np.ones(p.shape)],
            [SETTINGS],
            what="parameters given as a generator are all updated",
            why="model.parameters() is a generator: iterated twice, it is empty the second time",
            case=f"parameter of shape {tuple(p.shape)}, one step",
        )


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_first_step_has_the_size_of_lr(adapters, size):
    p = parameter([1.0, 1.0])
    optimizer = optimizer_of(
        adapters, [p], replace(SETTINGS, betas=(0.9, 0.999), eps=1e-12, weight_decay=0.0)
    )
    give(p, [size, -size])
    optimizer.step()
    expect_close(
        p,
        [0.9, 1.1],
        what="the first step moves every number by lr against its gradient's sign, whatever the gradient's "
        "size",
        why="m and v start at zero; without bias correction the first steps are several times too large or "
        "too small",
        atol=ATOL,
        case=f"lr=0.1, weight_decay=0, betas (0.9, 0.999), gradient ({size:g}, {-size:g}), start (1, 1)",
    )


@pytest.mark.parametrize("lr_per_step", [(0.1, 0.1, 0.1), (0.5, 0.1, 0.02), (0.0, 0.3, 0.0)], ids=str)
def test_decay_is_lr_times_weight_decay(adapters, lr_per_step):
    p = parameter([4.0, -2.0])
    optimizer = optimizer_of(adapters, [p], replace(SETTINGS, lr=0.1, weight_decay=0.5))
    want = np.array([4.0, -2.0])
    for step, lr in enumerate(lr_per_step):
        optimizer.param_groups[0]["lr"] = lr
        give(p, [0.0, 0.0])
        optimizer.step()
        want = want * (1 - lr * 0.5)
        expect_close(
            p,
            want,
            what="with a gradient of zero only decay is left: p becomes p * (1 - lr * weight_decay), lr "
            "being this step's",
            why="decay is decoupled from the gradient but follows the schedule; with a fixed rate it would "
            "go on shrinking the weights when lr has fallen to nothing",
            atol=ATOL,
            case=f"weight_decay=0.5, lr of the steps {lr_per_step}, after step {step + 1}",
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (2, 4)], ids=str)
def test_matches_the_oracle(adapters, shape, dtype):
    start = numbers(*shape, seed=1) * 2
    gradients = [np.asarray(numbers(*shape, seed=100 + i) + 0.5) for i in range(30)]
    p = parameter(start, dtype)
    optimizer, got = optimizer_of(adapters, [p]), []
    for gradient in gradients:
        give(p, gradient)
        optimizer.step()
        got.append(values_of(p))
    expect_adamw(
        got,
        start,
        gradients,
        [SETTINGS] * 30,
        what="30 steps follow the algorithm",
        why="momentum, second moment, both corrections and decay act together here; the first wrong step "
        "is shown as the first index",
        case=f"parameter of shape {shape}, {dtype}, lr 0.1, betas (0.9, 0.99), eps 1e-8, weight_decay 0.1",
        atol=ATOL if dtype == torch.float64 else ATOL_FLOAT32,
    )


def test_schedule_takes_effect(adapters):
    start, rates = numbers(3, seed=2), [0.1, 0.2, 0.05, 0.0, 0.01]
    gradients = [numbers(3, seed=200 + i) for i in range(5)]
    p = parameter(start)
    optimizer, got = optimizer_of(adapters, [p], replace(SETTINGS, lr=0.1)), []
    for lr, gradient in zip(rates, gradients, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        give(p, gradient)
        optimizer.step()
        got.append(values_of(p))
    expect_adamw(
        got,
        start,
        gradients,
        [replace(SETTINGS, lr=lr) for lr in rates],
        what="each step uses the lr that stands in param_groups at that moment",
        why="a schedule writes param_groups[0]['lr'] before each step; an optimizer that keeps the "
        "constructor's lr trains without warm-up and without cool-down, and says nothing",
        case=f"constructed with lr 0.1; lr of the steps {rates}",
    )


@pytest.mark.parametrize(
    ("name", "value"), [("lr", 0.02), ("betas", (0.5, 0.6)), ("eps", 0.05), ("weight_decay", 0.0)]
)
def test_groups_have_their_own_settings(adapters, name, value):
    starts = [numbers(2, seed=3), numbers(2, seed=4)]
    parameters = [parameter(start) for start in starts]
    groups = [{"params": [parameters[0]]}, {"params": [parameters[1]], name: value}]
    optimizer, got = optimizer_of(adapters, groups), ([], [])
    gradients = [[numbers(2, seed=300 + 10 * i + which) * 0.1 for i in range(4)] for which in (0, 1)]
    for i in range(4):
        for which, p in enumerate(parameters):
            give(p, gradients[which][i])
        optimizer.step()
        for which, p in enumerate(parameters):
            got[which].append(values_of(p))
    for which, settings in enumerate((SETTINGS, replace(SETTINGS, **{name: value}))):
        expect_adamw(
            got[which],
            starts[which],
            gradients[which],
            [settings] * 4,
            what=f"each parameter group uses its own {name}",
            why="norms and embeddings are usually spared the decay, and fine-tuning gives layers rates of "
            "their own, by groups",
            case=f"group 0 with the defaults, group 1 with {name}={value}; shown is group {which}",
        )


def test_parameters_without_gradient_are_left_alone(adapters):
    frozen, live = parameter([5.0, -3.0]), parameter([1.0, 1.0])
    optimizer = optimizer_of(adapters, [frozen, live])
    for _ in range(3):
        give(live, [1.0, -1.0])
        optimizer.step()
    expect_equal(
        values_of(frozen),
        np.array([5.0, -3.0]),
        what="a parameter whose .grad is None is not touched, not even by weight decay",
        why="frozen layers, and layers that a batch did not use, would slowly fade to zero",
        case="weight_decay=0.1, 3 steps in which only the other parameter has a gradient",
    )


def test_each_parameter_counts_its_own_steps(adapters):
    start = numbers(2, seed=5)
    late_gradients = [None, None, None, *(numbers(2, seed=500 + i) for i in range(2)), None, np.ones(2)]
    early, late = parameter(numbers(2, seed=6)), parameter(start)
    optimizer, got = optimizer_of(adapters, [early, late]), []
    for i, gradient in enumerate(late_gradients):
        give(early, numbers(2, seed=600 + i))
        give(late, gradient)
        optimizer.step()
        got.append(values_of(late))
    expect_adamw(
        got,
        start,
        late_gradients,
        [SETTINGS] * len(late_gradients),
        what="bias correction counts the updates of this very parameter",
        why="a layer that is unfrozen at step 1000 starts with empty averages; corrected as if it had seen "
        "1000 gradients, its first steps are wrong",
        case="no gradient in steps 1, 2, 3 and 6; a gradient in steps 4, 5 and 7; another parameter has "
        "one always",
    )


def test_eps_stands_outside_the_root(adapters):
    start, gradients = np.array([1.0, 1.0]), [np.array([1e-6, -1e-4])] * 3
    settings = replace(SETTINGS, eps=1e-4, weight_decay=0.0)
    p = parameter(start)
    optimizer, got = optimizer_of(adapters, [p], settings), []
    for gradient in gradients:
        give(p, gradient)
        optimizer.step()
        got.append(values_of(p))
    expect_adamw(
        got,
        start,
        gradients,
        [settings] * 3,
        what="the update is divided by sqrt(v) + eps, not by sqrt(v + eps)",
        why="inside the root eps=1e-8 acts like 1e-4: every number whose gradient is smaller, which late "
        "in training is most of them, all but stops learning",
        case="eps=1e-4, gradient (1e-6, -1e-4) three times",
    )


def test_resume_continues_exactly(adapters):
    starts = [numbers(3, seed=7), numbers(2, 2, seed=8)]
    gradients = [[numbers(*s.shape, seed=700 + 10 * i + j) for j, s in enumerate(starts)] for i in range(6)]

    def train(parameters, optimizer, steps):
        for i in steps:
            for p, gradient in zip(parameters, gradients[i], strict=True):
                give(p, None if i == 0 and p is parameters[1] else gradient)
            optimizer.param_groups[0]["lr"] *= 0.9
            optimizer.step()

    whole = [parameter(start) for start in starts]
    train(whole, optimizer_of(adapters, whole), range(6))

    before = [parameter(start) for start in starts]
    optimizer = optimizer_of(adapters, before)
    train(before, optimizer, range(3))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    after = [parameter(values_of(p)) for p in before]
    resumed = optimizer_of(adapters, after, Settings(lr=7.0, betas=(0.1, 0.2), weight_decay=3.0))
    resumed.load_state_dict(torch.load(file, weights_only=True))
    train(after, resumed, range(3, 6))
    for which, (p, undisturbed) in enumerate(zip(after, whole, strict=True)):
        expect_equal(
            values_of(p),
            values_of(undisturbed),
            what="saved by state_dict(), loaded into a new optimizer and continued, training ends where the "
            "undisturbed one does, bit for bit",
            why="long runs are interrupted; averages or counts that live outside self.state restart at "
            "zero, and the loss jumps at every resume",
            case=f"stopped after 3 of 6 steps; parameter {which}, which had its first gradient in step "
            f"{which + 1}",
        )


def test_optimizers_do_not_share_memory(adapters):
    got = []
    for _ in range(2):
        p = parameter([1.0, -1.0])
        optimizer = optimizer_of(adapters, [p])
        for i in range(3):
            give(p, numbers(2, seed=800 + i))
            optimizer.step()
        got.append(values_of(p))
    expect_equal(
        got[1],
        got[0],
        what="a second optimizer starts afresh",
        why="averages or counts kept on the class or module leak from one training run into the next",
        case="two optimizers, one after the other, with the same start and gradients",
    )


def test_parameters_are_updated_in_place(adapters):
    flat = torch.ones(6, dtype=torch.float64)
    p = torch.nn.Parameter(flat[2:4])
    optimizer = optimizer_of(adapters, [p])
    address = p.data_ptr()
    give(p, [1.0, 1.0])
    optimizer.step()
    why = "flat buffers of data parallelism, moving averages and captured GPU graphs hold the memory; "
    why += "p.data = ... leaves them with the old weights"
    expect(
        p.data_ptr() == address,
        what="step() writes into the parameter's own memory",
        why=why,
        counterexample="data_ptr() of a parameter of shape (2,) changed during step()",
    )
    expect_close(
        flat[[0, 1, 4, 5]],
        [1.0] * 4,
        what="step() writes nothing beside the parameter",
        why=why,
        atol=0.0,
    )
    expect(
        p.is_leaf and p.requires_grad,
        what="after a step the parameter is still a leaf that requires a gradient",
        why="an update that autograd records keeps every past step in memory and breaks the next backward()",
        counterexample=f"is_leaf={p.is_leaf}, requires_grad={p.requires_grad}",
    )


def test_gradients_are_left_alone(adapters):
    p = parameter([3.0, -2.0])
    optimizer = optimizer_of(adapters, [p])
    for _ in range(2):
        give(p, [0.5, -4.0])
        optimizer.step()
        expect_equal(
            None if p.grad is None else p.grad.numpy(),
            np.array([0.5, -4.0]),
            what="step() reads .grad and does not change it",
            why="gradient norms are logged after the step, and accumulation adds to what is there; "
            "clearing is zero_grad()'s task",
        )


def test_closure_is_called_once_with_gradients_on(adapters):
    p = parameter([2.0])
    optimizer, calls = optimizer_of(adapters, [p]), []

    def closure():
        calls.append((torch.is_grad_enabled(), p.item()))
        optimizer.zero_grad()
        loss = (p * p).sum()
        if loss.requires_grad:
            loss.backward()
        return loss.item()

    loss = optimizer.step(closure)
    expect_equal(
        calls,
        [(True, 2.0)],
        what="step(closure) calls the closure once, with gradients enabled, before it moves the parameter",
        why="a closure computes the loss and calls backward(); under no_grad that raises, or leaves old "
        "gradients",
        case="calls as (gradients enabled, value of the parameter)",
    )
    expect_close(
        loss,
        4.0,
        what="step(closure) returns the closure's loss",
        why="trainers read the loss from there",
        atol=0.0,
    )
    expect_adamw(
        [values_of(p)],
        np.array([2.0]),
        [np.array([4.0])],
        [SETTINGS],
        what="the gradient that the closure made is the one that is used",
        why="the closure runs before the update",
        case="loss p^2 at p=2",
    )
