"""Training in float16: what goes wrong without a loss scale, and the scale that mends it.

float16 ends at 6e-8: smaller gradients become zero. In a batch of millions of tokens every single token's share of the
mean loss is that small. Multiplying the loss by a large number before the backward pass, and dividing the gradients by
it afterwards in float32, moves them into range. The scale is found by trying: doubled as long as nothing overflows,
halved, and the step left out, when something does.

Source: [mixed-precision-2018] section 3.2.
"""

import torch
from torch import nn

from a1_basics.training.step import Batch, TrainState, TrainStep, finish_step, gradient_norm, scheduled_rate
from shared.device import autocast
from shared.doors.protocols import Attend, BasicsDoor, TrainJob

WHOLE_BATCH_TOKENS = 4_194_304  # the step is one piece of a batch of so many tokens, as large models train on
FIRST_SCALE, STEPS_TO_DOUBLE = 2.0**16, 50


def unscaled_float16_step(
    parts: BasicsDoor, job: TrainJob, attend: Attend | None, dtype: torch.dtype
) -> TrainStep:
    """A step whose backward pass runs in float16 on gradients as small as they come."""

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, float]]:
        learning_rate = scheduled_rate(parts, job, state)
        loss_nats = backward_in_float16(parts, state.model, batch, attend, scale=1.0)
        return finish_step(parts, job, state, loss_nats, learning_rate)

    return step


def scaled_float16_step(
    parts: BasicsDoor, job: TrainJob, attend: Attend | None, dtype: torch.dtype
) -> TrainStep:
    """The same step with a dynamic loss scale; the scale is part of the state and survives a restart."""

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, float]]:
        learning_rate = scheduled_rate(parts, job, state)
        scale = state.memory.setdefault("loss_scale", FIRST_SCALE)
        loss_nats = backward_in_float16(parts, state.model, batch, attend, scale=scale)
        if not gradient_norm(list(state.model.parameters())).isfinite():
            state.memory |= {"loss_scale": scale / 2, "good_steps": 0}
            state.steps_done += 1
            # the norm of a step left out is that of what it applied
            return state, {"loss_nats": loss_nats, "learning_rate": learning_rate, "gradient_norm": 0.0}
        state.memory["good_steps"] = state.memory.get("good_steps", 0) + 1
        if state.memory["good_steps"] % STEPS_TO_DOUBLE == 0:
            state.memory["loss_scale"] = scale * 2
        return finish_step(parts, job, state, loss_nats, learning_rate)

    return step


def backward_in_float16(
    parts: BasicsDoor, model: nn.Module, batch: Batch, attend: Attend | None, *, scale: float
) -> float:
    """Leave on the parameters the gradients of this batch, computed as a piece of a far larger one; the loss in nats.

    The gradients are brought back to their own size in float32, where nothing is lost any more.
    """
    inputs, targets = batch
    share = inputs.numel() / WHOLE_BATCH_TOKENS
    model.zero_grad(set_to_none=True)
    with autocast(inputs.device, torch.float16):
        logits = model(inputs, attend=attend)
        loss = parts.run_cross_entropy(logits.flatten(0, -2).float(), targets.flatten())
    (loss * (share * scale)).backward()
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.div_(share * scale)
    return loss.item()
