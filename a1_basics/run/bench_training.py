"""One training step against Hugging Face's GPT-2 of the same shape, and the fast parts against the clear ones.

The shape is the character-level Shakespeare model of nanoGPT: 6 layers, 6 heads, width 384, context 256, batch 16,
vocabulary 65. Both models have 10.7 million parameters; ours takes the precision that this machine is fast at.
"""

import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim

from a1_basics.model.attention import causal_attention, sdpa_attention
from a1_basics.model.fused import fused_rms_norm, fused_silu
from a1_basics.model.layers import rms_norm, silu
from a1_basics.model.rope import RotaryEmbedding, rotate_pairs, rotate_pairs_complex
from a1_basics.model.transformer import TransformerLM
from a1_basics.training.adamw import AdamW, ForeachAdamW
from a1_basics.training.clip import clip_gradients
from a1_basics.training.loss import cross_entropy
from shared.device import autocast, pick_device, pick_precision, synchronize
from shared.doors.protocols import ModelConfig
from shared.runs.bench import Bench, run_benches
from shared.runs.program import run_program

INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}  # a table in docs/benchmarks.md, no artifact

SHAPE = ModelConfig(vocab_size=65, context_length=256, d_model=384, num_layers=6, num_heads=6, d_ff=1024)
BATCH_SIZE = 16
NATS_AROUND_UNIFORM = 1.2  # an untrained model guesses: its loss is near log(65), whoever wrote it

Step = Callable[[], float]


def stepper(
    model: nn.Module, optimizer: optim.Optimizer, loss_of: Callable[[Tensor, Tensor], Tensor]
) -> Step:
    """A function that does one training step on a fixed batch and returns the loss before it."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(SHAPE.vocab_size, (BATCH_SIZE, SHAPE.context_length + 1), generator=generator)
    inputs, targets = tokens[:, :-1].to(device), tokens[:, 1:].to(device)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(inputs, targets)
        loss.backward()
        clip_gradients(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def our_step(dtype: torch.dtype) -> Step:
    """A step of this workspace, as `train_lm` does it."""
    torch.manual_seed(0)
    device = pick_device()
    model = TransformerLM(SHAPE).to(device)

    def loss_of(inputs: Tensor, targets: Tensor) -> Tensor:
        with autocast(device, dtype):
            logits = model(inputs)
        return cross_entropy(logits, targets)

    # A rate this small keeps the model where it is: every round then does the same work on the same numbers.
    return stepper(model, ForeachAdamW(model.parameters(), lr=1e-7), loss_of)


def hugging_face_step() -> Step:
    """A float32 eager step of GPT2LMHeadModel with torch's AdamW."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=SHAPE.vocab_size,
        n_positions=SHAPE.context_length,
        n_embd=SHAPE.d_model,
        n_layer=SHAPE.num_layers,
        n_head=SHAPE.num_heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    model: Any = GPT2LMHeadModel(config)
    model.to(pick_device())

    def loss_of(inputs: Tensor, targets: Tensor) -> Tensor:
        logits = model(inputs, use_cache=False).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return stepper(model, optim.AdamW(model.parameters(), lr=1e-7), loss_of)


def both_guess(ours: float, theirs: float) -> bool:
    """Whether both untrained models predict next to nothing: the same task, of the same difficulty."""
    uniform = math.log(SHAPE.vocab_size)
    return abs(ours - uniform) < NATS_AROUND_UNIFORM and abs(theirs - uniform) < NATS_AROUND_UNIFORM


def close(clear: Tensor, fast: Tensor) -> None:
    """Float32 sums in another order."""
    torch.testing.assert_close(clear, fast, atol=1e-5, rtol=1e-4)


def part_benches() -> Iterator[Bench]:
    """Each fast part beside its clear twin, at the shape above."""
    device = pick_device()
    head_dim = SHAPE.d_model // SHAPE.num_heads
    size = (BATCH_SIZE, SHAPE.num_heads, SHAPE.context_length, head_dim)
    queries, keys, values = (torch.randn(size, device=device) for _ in range(3))
    rope = RotaryEmbedding(head_dim, SHAPE.rope_theta, SHAPE.context_length, device=device)
    turn = (rope.cosines, rope.sines)

    def wait() -> None:
        synchronize(device)

    yield Bench(
        "attention, forward",
        lambda: causal_attention(0, queries, keys, values),
        lambda: sdpa_attention(0, queries, keys, values),
        close,
        "written out",
        "fused",
        wait,
    )
    yield Bench(
        "RoPE, forward",
        lambda: rotate_pairs(queries, *turn),
        lambda: rotate_pairs_complex(queries, *turn),
        close,
        "pairs",
        "complex",
        wait,
    )
    hidden = torch.randn(BATCH_SIZE, SHAPE.context_length, SHAPE.d_ff, device=device)
    features, gain = hidden[..., : SHAPE.d_model].contiguous(), torch.rand(SHAPE.d_model, device=device)
    yield Bench(
        "RMSNorm, both ways",
        lambda: both_ways(rms_norm, features, gain, 1e-5),
        lambda: both_ways(fused_rms_norm, features, gain, 1e-5),
        close,
        "by autograd",
        "by hand",
        wait,
    )
    yield Bench(
        "SiLU, both ways",
        lambda: both_ways(silu, hidden),
        lambda: both_ways(fused_silu, hidden),
        close,
        "written out",
        "fused",
        wait,
    )
    yield Bench("AdamW step", adamw_step(AdamW), adamw_step(Lists), close, "a loop", "lists", wait)


def both_ways(function: Callable[..., Tensor], features: Tensor, *rest: Any) -> Tensor:
    """The gradient of the features when each output pulls by its own value."""
    features = features.detach().requires_grad_()
    output = function(features, *rest)
    return torch.autograd.grad(output, features, output.detach())[0]


class Lists(ForeachAdamW):
    """Lists of tensors on every device, to see where they pay."""

    def update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        self.update_lists(parameters, group)


def adamw_step(optimizer_class: type[optim.Optimizer]) -> Callable[[], Tensor]:
    """One optimizer step over the model's parameters; one of them comes back to be compared."""
    torch.manual_seed(0)
    model = TransformerLM(SHAPE).to(pick_device())
    optimizer = optimizer_class(model.parameters(), lr=1e-4)  # type: ignore[call-arg]
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)

    def step() -> Tensor:
        optimizer.step()
        return model.token_embeddings.weight.detach().clone()

    return step


def benches() -> list[Bench]:
    """Every bench that can run here."""
    found = list(part_benches())
    if importlib.util.find_spec("transformers") is None:
        print('not checked: a step against Hugging Face (make setup EXTRAS="hf")', file=sys.stderr)
        return found
    device = pick_device()
    tokens = BATCH_SIZE * SHAPE.context_length
    theirs = hugging_face_step()
    formats = dict.fromkeys((torch.float32, pick_precision("auto", device)))
    for dtype in formats:
        name = str(dtype).removeprefix("torch.")
        found.append(
            Bench(
                f"training step, {name}",
                theirs,
                our_step(dtype),
                both_guess,
                "Hugging Face GPT-2, float32",
                f"ours, {name}",
                lambda: synchronize(device),
                tokens,
                "tokens",
            )
        )
    return found


@dataclass(frozen=True)
class BenchTraining:
    """How long to measure."""

    rounds: int = 11  # interleaved rounds of baseline, candidate and control


PRESETS = {"default": BenchTraining(), "quick": BenchTraining(rounds=3)}


def main(config: BenchTraining) -> int:
    """Measure everything that can run here; 1 when outputs differed somewhere."""
    return run_benches("training", benches(), rounds=config.rounds)


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
