"""Muon: momentum whose step is made orthogonal, for the matrices inside a network; AdamW moves all the rest.

The gradient of a weight matrix is dominated by a few directions. Setting all its singular values to one lets the rare
directions learn as fast as the common ones. An exact decomposition would be slow; five matrix polynomials come near.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from a1_basics.training.adamw import ForeachAdamW

# x -> a x + b x^3 + c x^5, applied five times, sends every x in (0.003, 1] to between 0.67 and 1.21. The slope at zero
# is as steep as possible, so that small singular values arrive in time; the price: all end near one, not at it.
QUINTIC = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
SMALLEST_NORM = 1e-20  # below, a matrix is as good as zero, and stays where it is
RMS_OF_ADAMW = 0.2  # root mean square of a typical AdamW step, per unit of learning rate


def newton_schulz(
    matrix: Float[Tensor, "d_out d_in"], steps: int = NEWTON_SCHULZ_STEPS
) -> Float[Tensor, "d_out d_in"]:
    """The nearest orthogonal matrix, roughly: the same singular vectors, every singular value near one.

    With `X = U S V^T`, `X X^T X = U S^3 V^T`: an odd polynomial of a matrix is the polynomial of its singular values,
    so iterating on X iterates on each of them. Dividing by the Frobenius norm first brings them all below one.

    Source: [muon-2024], "Newton-Schulz" (coefficients found there).
    """
    a, b, c = QUINTIC
    is_tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if is_tall else matrix  # X X^T is then the smaller of the two products
    wide = wide / torch.linalg.matrix_norm(wide).clamp(min=SMALLEST_NORM)
    for _ in range(steps):
        squared = wide @ wide.T
        wide = a * wide + (b * squared + c * squared @ squared) @ wide
    return wide.T if is_tall else wide


@torch.no_grad()
def move_orthogonally(
    weight: Float[Tensor, "d_out d_in"],
    gradient: Float[Tensor, "d_out d_in"],
    momentum: Float[Tensor, "d_out d_in"],
    *,
    lr: float,
    beta: float,
    weight_decay: float,
) -> None:
    """One step of Muon for one matrix; changes `weight` and `momentum` in place.

    Source: [muon-2024]; the size of the step and the decay from [moonlight-2025] equation 4.
    """
    momentum.lerp_(gradient, 1 - beta)
    ahead = gradient.lerp(momentum, beta)  # Nesterov: where the momentum will be
    size = RMS_OF_ADAMW * math.sqrt(max(weight.shape))
    weight.mul_(1 - lr * weight_decay)
    weight.add_(newton_schulz(ahead), alpha=-lr * size)


class Muon(ForeachAdamW):
    """Muon for the groups marked `is_hidden`, AdamW for the others: one optimizer, one learning rate.

    A hidden matrix moves by `0.2 sqrt(max(d_out, d_in))` times the orthogonal factor of its Nesterov momentum: an
    orthogonal matrix has root mean square `1 / sqrt(max(d_out, d_in))`, so the step is as large as AdamW's, and a rate
    and a weight decay that suit one suit the other. It keeps one number for each weight where AdamW keeps two.

    Raises:
        ValueError: a parameter that is no matrix in a hidden group.
    Source: [muon-2024]; the size of the step and the decay from [moonlight-2025] equation 4.
    """

    def __init__(
        self,
        params: list[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum} must lie in [0, 1)")
        groups = [{"is_hidden": False, "momentum": momentum, **group} for group in params]
        super().__init__(groups, lr, betas, eps, weight_decay)
        for group in self.param_groups:
            for parameter in group["params"]:
                if group["is_hidden"] and parameter.ndim != 2:
                    raise ValueError(
                        f"Muon moves matrices, and a hidden group holds a tensor of shape {tuple(parameter.shape)}; "
                        "put it into a group without is_hidden"
                    )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; `closure`, when given, recomputes the loss first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        every_group = self.param_groups
        for group in every_group:
            for parameter in group["params"]:
                if group["is_hidden"] and parameter.grad is not None:
                    self.move_hidden(parameter, parameter.grad, group)
        try:  # AdamW moves all that it finds in its groups: show it the others alone
            self.param_groups = [group for group in every_group if not group["is_hidden"]]
            super().step()
        finally:
            self.param_groups = every_group
        return loss

    def move_hidden(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """One step of Muon for one matrix, whose momentum stands in `self.state`."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        move_orthogonally(
            parameter,
            gradient,
            state["momentum"],
            lr=group["lr"],
            beta=group["momentum"],
            weight_decay=group["weight_decay"],
        )


def hidden_parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for `Muon`: matrices of the layers are hidden; embeddings, head, gains and biases are not.

    A row of an embedding is the vector of one token: rows that a batch does not hold have no gradient, and an
    orthogonal step would move them all the same.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    hidden = [parameter for name, parameter in named if parameter.ndim == 2 and name.startswith("layers.")]
    tables = [
        parameter for name, parameter in named if parameter.ndim == 2 and not name.startswith("layers.")
    ]
    vectors = [parameter for _, parameter in named if parameter.ndim < 2]
    return [
        {"params": hidden, "weight_decay": weight_decay, "is_hidden": True},
        {"params": tables, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
