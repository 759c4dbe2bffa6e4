"""AdamW: Adam with weight decay taken out of the gradient, twice.

`AdamW` is the clear version, one parameter at a time. `ForeachAdamW` does the same arithmetic in the same order over
lists of tensors, so that a GPU does not spend its time starting kernels; on a CPU, where the loop keeps each tensor in
cache and is faster (docs/benchmarks.md), it is the loop.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, optim


class AdamW(optim.Optimizer):
    """Adam with decoupled weight decay and bias correction.

    Each parameter counts its own steps: one that had no gradient yet is corrected as if new.

    Raises:
        ValueError: a hyperparameter outside its range.
    Source: [adamw-2019] algorithm 2, with the schedule multiplier folded into `lr`; bias correction folded into the
        step size as in [adam-2015] section 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        if lr < 0 or eps < 0 or weight_decay < 0:
            raise ValueError(f"lr={lr}, eps={eps} and weight_decay={weight_decay} must not be negative")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas={betas} must lie in [0, 1)")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Move every parameter that has a gradient; `closure`, when given, recomputes the loss first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in parameters:
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros((), dtype=torch.float32)
                    state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
                    state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
                state["step"] += 1
            self.update(parameters, group)
        return loss

    def update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Apply one step to these parameters, whose moments and step counts stand in `self.state`."""
        lr, (beta1, beta2) = group["lr"], group["betas"]
        for parameter in parameters:
            assert parameter.grad is not None  # step() chose them so
            state = self.state[parameter]
            first, second, steps = state["exp_avg"], state["exp_avg_sq"], state["step"].item()
            first.mul_(beta1).add_(parameter.grad, alpha=1 - beta1)
            second.mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
            step_size = lr / (1 - beta1**steps)
            denominator = second.sqrt().div_(math.sqrt(1 - beta2**steps)).add_(group["eps"])
            parameter.mul_(1 - lr * group["weight_decay"])
            parameter.addcdiv_(first, denominator, value=-step_size)


class ForeachAdamW(AdamW):
    """The fast AdamW: the same update, on a GPU each line applied to all parameters of equal age at once."""

    def update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """One step, by lists where the parameters lie on an accelerator."""
        if any(parameter.device.type == "cpu" for parameter in parameters):
            super().update(parameters, group)
        else:
            self.update_lists(parameters, group)

    def update_lists(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """One step, a whole list of tensors at a time."""
        lr, (beta1, beta2) = group["lr"], group["betas"]
        by_age: dict[float, list[Tensor]] = {}
        for parameter in parameters:
            by_age.setdefault(self.state[parameter]["step"].item(), []).append(parameter)
        for steps, members in by_age.items():
            gradients = [parameter.grad for parameter in members if parameter.grad is not None]
            first = [self.state[parameter]["exp_avg"] for parameter in members]
            second = [self.state[parameter]["exp_avg_sq"] for parameter in members]
            torch._foreach_mul_(first, beta1)
            torch._foreach_add_(first, gradients, alpha=1 - beta1)
            torch._foreach_mul_(second, beta2)
            torch._foreach_addcmul_(second, gradients, gradients, value=1 - beta2)
            denominator = torch._foreach_sqrt(second)
            torch._foreach_div_(denominator, math.sqrt(1 - beta2**steps))
            torch._foreach_add_(denominator, group["eps"])
            torch._foreach_mul_(members, 1 - lr * group["weight_decay"])
            torch._foreach_addcdiv_(members, first, denominator, value=-lr / (1 - beta1**steps))
