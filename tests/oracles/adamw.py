"""AdamW, one number at a time, in float64, in each of the forms that go by that name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Settings:
    """The hyperparameters of one step."""

    lr: float
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-8
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Form:
    """Two choices on which sources differ; every combination is AdamW.

    decay_first: parameters shrink before the update (PyTorch) or after it (the public assignment).
    eps_beside_corrected: eps is added to the bias-corrected root (Kingma and Ba 2015, algorithm 1; PyTorch),
    or to the uncorrected root while the learning rate carries the correction (their section 2).
    """

    decay_first: bool
    eps_beside_corrected: bool


FORMS = tuple(Form(first, beside) for first in (True, False) for beside in (True, False))


def path(
    start: np.ndarray,
    gradients: Sequence[np.ndarray | None],
    settings: Sequence[Settings],
    form: Form = FORMS[0],
) -> list[np.ndarray]:
    """The parameter after each step. A step whose gradient is None leaves it, and its step count, alone.

    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
    """
    p = np.array(start, dtype=np.float64)
    m, v, t = np.zeros_like(p), np.zeros_like(p), 0
    after = []
    for gradient, now in zip(gradients, settings, strict=True):
        if gradient is not None:
            t += 1
            for place in np.ndindex(p.shape):
                g = float(np.asarray(gradient)[place])
                m[place] = now.betas[0] * m[place] + (1 - now.betas[0]) * g
                v[place] = now.betas[1] * v[place] + (1 - now.betas[1]) * g * g
                p[place] = _step(p[place], m[place], v[place], t, now, form)
        after.append(p.copy())
    return after


def _step(p: float, m: float, v: float, t: int, now: Settings, form: Form) -> float:
    first_correction, second_correction = 1 - now.betas[0] ** t, 1 - now.betas[1] ** t
    if form.eps_beside_corrected:
        update = (m / first_correction) / (math.sqrt(v / second_correction) + now.eps)
    else:
        update = math.sqrt(second_correction) / first_correction * m / (math.sqrt(v) + now.eps)
    if form.decay_first:
        return (p - now.lr * now.weight_decay * p) - now.lr * update
    p = p - now.lr * update
    return p - now.lr * now.weight_decay * p
