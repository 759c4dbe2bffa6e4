"""Each step of a training, read from the weights: settings are chosen so that these tell what was done.

With both betas at 0 Adam moves every number by the learning rate, so distances are sums of the schedule; with a huge
eps it is plain gradient descent, so distances are clipped gradients; rows of tokens that never occur feel the decay
alone.
"""

import numpy as np
import pytest
import torch

from tests.a1_basics.small_jobs import ROUNDING, moved, noise, scheduled, trained
from tests.harness.explain import expect, expect_close


@pytest.mark.parametrize(
    ("steps", "warmup", "top", "bottom"),
    [(6, 4, 1e-3, 1e-3), (5, 1, 2e-3, 1e-4), (3, 0, 1e-3, 2e-4)],
    ids=str,
)
def test_rate_follows_the_schedule(adapters, tmp_path, steps, warmup, top, bottom):
    settings = {"beta1": 0.0, "beta2": 0.0, "adam_eps": 1e-12, "weight_decay": 0.0, "steps": steps}
    data = np.zeros(3000, dtype=int)  # one letter: each step's gradient has the sign of the first one's
    still = trained(
        adapters, tmp_path / "still", data, max_learning_rate=0.0, min_learning_rate=0.0, **settings
    )
    after = trained(
        adapters,
        tmp_path / "moving",
        data,
        max_learning_rate=top,
        min_learning_rate=bottom,
        warmup_steps=warmup,
        **settings,
    )
    farthest = float(np.abs(moved(still, after)).max())
    # Counting steps from 0 or from 1 are both usual.
    sums = [sum(scheduled(k + first, top, bottom, warmup, steps) for k in range(steps)) for first in (0, 1)]
    nearest = min(sums, key=lambda total: abs(total - farthest))
    expect_close(
        farthest,
        nearest,
        what="each step is made with the rate of the schedule: warm-up, then half a cosine that ends with the job",
        why="a rate set once trains without warm-up and without cool-down: a few percent of the loss, and no error",
        atol=0.01 * top,
        case=f"betas 0, so that each step moves a number by the rate; {steps} steps, max {top:g}, min {bottom:g}, "
        f"warmup_steps {warmup}; shown is how far the farthest weight went",
    )


def descent(adapters, folder, clip_norm: float) -> np.ndarray:
    """What one step of plain gradient descent moves: a tenth of the clipped gradient."""
    eps = 1e4
    settings = {
        "beta1": 0.0,
        "beta2": 0.0,
        "adam_eps": eps,
        "weight_decay": 0.0,
        "steps": 1,
        "warmup_steps": 0,
    }
    still = trained(adapters, folder / "still", max_learning_rate=0.0, min_learning_rate=0.0, **settings)
    after = trained(
        adapters,
        folder / f"clip {clip_norm:g}",
        max_learning_rate=0.1 * eps,
        min_learning_rate=0.1 * eps,
        clip_norm=clip_norm,
        **settings,
    )
    return moved(still, after) / 0.1


def test_gradients_are_clipped_together(adapters, tmp_path):
    free = descent(adapters, tmp_path / "free", 1e6)
    norm = float(np.linalg.norm(free))
    bound = norm / 20
    clipped = descent(adapters, tmp_path / "tight", bound)
    why = "one strange batch may otherwise undo the work of hundreds"
    case = f"eps 1e4 makes Adam plain descent; gradient norm {norm:.3f}, clip_norm {bound:.4f}"
    expect_close(
        np.linalg.norm(clipped),
        bound,
        what="the gradients that reach the optimizer have at most the norm clip_norm",
        why=why,
        atol=0.0,
        rtol=2e-3,  # weights of size 1 hide the last digits of a step of 1e-4
        case=case,
    )
    expect_close(
        float(clipped @ free) / float(np.linalg.norm(clipped) * norm),
        1.0,
        what="clipping shortens the gradient of all weights together and keeps its direction",
        why=why,
        atol=1e-3,
        case=case + "; shown is the cosine between the clipped and the free step",
    )
    expect_close(
        descent(adapters, tmp_path / "loose", 2 * norm),
        free,
        what="a clip_norm above the gradient's norm changes nothing",
        why="scaled up to the bound, small gradients make large steps",
        atol=1e-4,
        case=f"gradient norm {norm:.3f}, clip_norm {2 * norm:.3f}",
    )


@pytest.mark.parametrize("weight_decay", [0.5, 0.0])
def test_matrices_decay(adapters, tmp_path, weight_decay):
    data = noise(400) % 5  # the letter f never comes: no gradient reaches its row
    settings = {"warmup_steps": 0, "steps": 3, "weight_decay": weight_decay}
    still = trained(
        adapters, tmp_path / "still", data, data, max_learning_rate=0.0, min_learning_rate=0.0, **settings
    )
    after = trained(
        adapters, tmp_path / "after", data, data, max_learning_rate=0.1, min_learning_rate=0.1, **settings
    )
    row = "token_embeddings.weight"
    expect_close(
        after[row][5],
        still[row][5] * (1 - 0.1 * weight_decay) ** 3,
        what="weights shrink by the rate times weight_decay at each step, and by nothing else where no gradient comes",
        why="decay keeps the weights in proportion to their gradients; forgotten or fixed, the job's setting is a "
        "dead letter",
        atol=ROUNDING * 10,
        case=f"embedding row of a token that never comes; rate 0.1, weight_decay {weight_decay}, 3 steps",
    )


CHANGES = {
    "seed": 1,
    "batch_size": 5,
    "max_learning_rate": 2e-3,
    "min_learning_rate": 5e-4,
    "warmup_steps": 2,
    "weight_decay": 0.9,
    "beta1": 0.5,
    "beta2": 0.5,
    "adam_eps": 1e-2,
    "clip_norm": 1e-4,
}


@pytest.mark.parametrize("setting", CHANGES)
def test_every_setting_counts(adapters, tmp_path, setting):
    base = {"adam_eps": 1e-4}  # so that the size of gradients, which clipping changes, is felt
    before = trained(adapters, tmp_path / "before", **base)
    after = trained(adapters, tmp_path / "after", **{**base, setting: CHANGES[setting]})
    expect(
        bool(np.abs(moved(before, after)).max() > 1e-6),
        what="another value of a setting gives another model",
        why="a setting that is not passed on looks, in the log, as if it had been tried",
        counterexample=f"{setting}={CHANGES[setting]} gave the same weights as the default",
        case="4 steps on noise",
    )


def test_a_job_decides_its_outcome(adapters, tmp_path):
    got = []
    for attempt in range(2):
        torch.manual_seed(100 + attempt)
        np.random.seed(100 + attempt)  # noqa: NPY002
        torch.rand(attempt)
        got.append(trained(adapters, tmp_path / str(attempt)))
    expect_close(
        moved(got[0], got[1]),
        np.zeros_like(moved(got[0], got[1])),
        what="the same job gives the same weights, whatever the global generators were doing",
        why="what cannot be repeated cannot be compared; initial weights and batches follow from job.seed",
        atol=ROUNDING,
        case="two runs in two stores, torch and numpy seeded differently before",
    )
