"""What share of the GPU's arithmetic training reaches: a step of GPT-2's smallest size, tokens per second and MFU.

The model is stage 1's, through its door; the kernels are ours. The FLOPs are `shared.accounting`'s, which counts the
whole matrix of scores as the published figures do; the peak is the dense bfloat16 rate of the data sheet.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from a2_systems.gpu.targets import OURS, Verdict, interleaved
from a2_systems.kernels.attend import best_attention, sdpa_attention
from a2_systems.kernels.linear_cross_entropy import linear_cross_entropy, plain_linear_cross_entropy
from a2_systems.kernels.rms_norm import rms_norm
from shared.accounting import training_flops_per_token
from shared.device import peak_flops_per_second
from shared.doors.protocols import Attend, ModelConfig
from shared.doors.resolve import door

GPT2_124M = ModelConfig(
    vocab_size=50_257,
    context_length=1_024,
    d_model=768,
    num_layers=12,
    num_heads=12,
    d_ff=2_048,  # three matrices of this width cost what GPT-2's two of 3,072 do
)
TARGET_FRACTION = 0.40
Milliseconds = Callable[[Callable[[], object]], float]


@dataclass(frozen=True)
class Step:
    """What one optimizer step takes in."""

    model: ModelConfig = GPT2_124M
    sequences: int = 16  # of a microbatch: what a card of 80 GB holds with room to spare
    microbatches: int = 4  # a real run has more; the optimizer's share is then smaller still

    @property
    def tokens(self) -> int:
        """Trained tokens of a step."""
        return self.sequences * self.microbatches * self.model.context_length


class KernelNorm(nn.Module):
    """An RMSNorm's gain under the kernel of this stage."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.eps

    def forward(self, features: Tensor) -> Tensor:
        return rms_norm(features, self.weight, self.eps)


def language_model(config: ModelConfig) -> Any:
    """Stage 1's model without its last matrix, which is the table of embeddings and belongs to the loss.

    The door also loads the tokenizers, whose patterns the package `regex` compiles. No text is cut here: where the
    package is missing, a name without patterns takes its place.
    """
    try:
        import_module("regex")
    except ModuleNotFoundError:
        sys.modules["regex"] = SimpleNamespace(compile=lambda *_: None, escape=str)  # pyright: ignore[reportArgumentType]
    model: Any = door("a1_basics", "reference").build_model(config)
    model.lm_head = nn.Identity()
    with torch.no_grad():  # as an output matrix the table must start small
        model.token_embeddings.weight.mul_(config.d_model**-0.5)
    return model


def with_kernel_norms(model: nn.Module) -> nn.Module:
    """The model, every RMSNorm in it run by the kernel."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ == "RMSNorm":
                setattr(parent, name, KernelNorm(child))
    return model


def training_step(
    work: Step, device: torch.device, attend: Attend, loss_of: Callable[..., Tensor], *, has_kernel_norms: bool,
    is_compiled: bool,
) -> Callable[[], Tensor]:  # fmt: skip
    """A call that trains one step: bfloat16 autocast, gradients accumulated, torch's fused AdamW."""
    torch.manual_seed(0)
    model = language_model(work.model).to(device)
    table = model.token_embeddings.weight
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    size = (work.microbatches, work.sequences, work.model.context_length + 1)
    ids = torch.randint(work.model.vocab_size, size, device=device)
    run: Any = with_kernel_norms(model) if has_kernel_norms else model
    if is_compiled:
        run = torch.compile(run, dynamic=False)

    def step() -> Tensor:
        total = torch.zeros((), device=device)
        for batch in ids:
            with torch.autocast(device.type, torch.bfloat16):
                features = run(batch[:, :-1], attend=attend)
                loss = loss_of(features, table, batch[:, 1:]) / work.microbatches
            loss.backward()
            total += loss.detach()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total

    return step


def contestants(work: Step, device: torch.device) -> dict[str, Callable[[], object]]:
    """Ours, ours between compiled pieces, and torch alone, compiled. Made at their first call, so that one may fail."""
    made: dict[str, Callable[[], object]] = {}
    # The kernels stay out of compiled graphs: the compiler breaks a graph at them in any case, here once each.
    apart: Any = torch.compiler.disable(best_attention)
    settings: dict[str, Callable[[], Callable[[], object]]] = {
        f"{OURS}, eager": lambda: training_step(
            work, device, best_attention, linear_cross_entropy, has_kernel_norms=True, is_compiled=False
        ),
        f"{OURS}, compiled between kernels": lambda: training_step(
            work, device, apart, linear_cross_entropy, has_kernel_norms=False, is_compiled=True
        ),
        "torch, compiled": lambda: training_step(
            work, device, sdpa_attention, plain_linear_cross_entropy, has_kernel_norms=False, is_compiled=True
        ),
    }

    def call(name: str) -> object:
        if name not in made:
            made[name] = settings[name]()
        return made[name]()

    return {name: lambda name=name: call(name) for name in settings}


def training_rows(
    work: Step, device: torch.device, rounds: int, milliseconds_of: Milliseconds, names: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Median milliseconds of a step, tokens per second and MFU of each contestant, or why it could not run."""
    peak = peak_flops_per_second(device, torch.bfloat16)
    flops = training_flops_per_token(work.model, work.model.context_length) * work.tokens
    entered = {name: call for name, call in contestants(work, device).items() if not names or name in names}
    rows: list[dict[str, Any]] = []
    for name, times in interleaved(entered, rounds, milliseconds_of).items():
        row: dict[str, Any] = {"work": "training step", "contestant": name}
        if isinstance(times, str):
            rows.append({**row, "reason": times})
            continue
        seconds = sorted(times)[len(times) // 2] / 1e3
        row |= {"milliseconds": seconds * 1e3, "tokens_per_second": work.tokens / seconds}
        rows.append({**row, "mfu_fraction": flops / seconds / peak, "peak_flops_per_second": peak})
    return rows


def training_line(row: dict[str, Any]) -> str:
    """One row, as it is printed."""
    start = f"{row['work']:<38}  {row['contestant']:<30}  "
    if "reason" in row:
        return f"{start}not checked: {row['reason']}"
    rates = f"{row['tokens_per_second']:,.0f} tokens/s, {100 * row['mfu_fraction']:.1f} % of the peak"
    return f"{start}{row['milliseconds']:.1f} ms, {rates}"


def training_verdict(rows: list[dict[str, Any]]) -> Verdict:
    """The best of ours against the target; what torch does alone is there to compare."""
    target = f"training at 124M parameters, at least {100 * TARGET_FRACTION:.0f} % of the dense bfloat16 peak"
    fractions = [
        row["mfu_fraction"] for row in rows if row["contestant"].startswith(OURS) and "reason" not in row
    ]
    if not fractions:
        return Verdict(target, "did not run", None)
    return Verdict(target, f"{100 * max(fractions):.1f} %", max(fractions) >= TARGET_FRACTION)
