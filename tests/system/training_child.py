"""A small real training that can be killed at a chosen operation; the other half of test_runner_kill.py.

One warm process imports torch once and forks a child per order, so that thirty kills cost seconds. An order is a JSON
line on stdin, `{"run_dir": ..., "kill_at": ..., "delay_seconds": ...}`; the answer is a JSON line with the child's exit
status, the signal that ended it, and the number of operations it did.

Operations are counted at everything that changes a file: a chunk of a state's file, an fsync, a rename, an unlink, a
log record, and each step. `kill_at=n` makes the child kill itself with SIGKILL *before* its n-th; `delay_seconds` by a
timer, wherever it happens to be.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from shared.runs import runlog
from shared.runs.runner import Cadence, run

NUM_STEPS = 30
EVERY = Cadence(log_steps=2, evaluate_steps=8, checkpoint_steps=4, keep=2)
CHUNK_BYTES = 1500


class Operations:
    """Counts operations and, at the chosen one, ends the process as a power cut would."""

    def __init__(self, kill_at: int | None):
        self.done, self.kill_at = 0, kill_at

    def tick(self) -> None:
        if self.done == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.done += 1

    def counted(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def ticking(*arguments: Any, **options: Any) -> Any:
            self.tick()
            return act(*arguments, **options)

        return ticking


class Training:
    """A two-layer network, AdamW and a noise generator: all three change with every step."""

    def __init__(self, operations: Operations):
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Embedding(17, 16), nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 17)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.noise = torch.Generator().manual_seed(1)
        self.operations = operations

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor of the state, by name."""
        found = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, entry in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{index}.{name}": tensor for name, tensor in entry.items()}
        return found | {"noise": self.noise.get_state()}

    def save(self, directory: Path) -> None:
        content = safetensors.torch.save(self.tensors())
        with (directory / "state.safetensors").open("wb", buffering=0) as file:
            for start in range(0, len(content), CHUNK_BYTES):
                self.operations.tick()
                file.write(content[start : start + CHUNK_BYTES])

    def load(self, directory: Path) -> None:
        found = safetensors.torch.load_file(directory / "state.safetensors")
        self.noise.set_state(found.pop("noise"))
        self.model.load_state_dict(
            {k.removeprefix("model."): v for k, v in found.items() if k.startswith("model.")}
        )
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in found.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                state.setdefault(int(index), {})[name] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def batch_of(index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and targets of one step, from its index alone."""
    generator = torch.Generator().manual_seed(1000 + index)
    tokens = torch.randint(0, 17, (8, 4), generator=generator)
    return tokens, tokens[:, 0]


def step(state: Training, batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[Training, dict[str, float]]:
    """One AdamW step on a loss with noise, so that a generator which is not restored shows."""
    state.operations.tick()
    tokens, targets = batch
    logits = state.model(tokens)
    logits = logits + 0.1 * torch.randn(logits.shape, generator=state.noise)
    loss = nn.functional.cross_entropy(logits, targets)
    state.optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    state.optimizer.step()
    return state, {"loss_nats": loss.item(), "gradient_norm": norm.item()}


def train(run_dir: Path, kill_at: int | None, delay_seconds: float | None) -> int:
    """Start or resume the run; the number of operations done, when nothing killed it."""
    torch.set_num_threads(1)
    operations = Operations(kill_at)
    for module, name in ((os, "fsync"), (os, "rename"), (os, "replace"), (os, "unlink"), (os, "rmdir")):
        setattr(module, name, operations.counted(getattr(module, name)))
    runlog.RunLog.append = operations.counted(runlog.RunLog.append)  # type: ignore[method-assign]
    if delay_seconds is not None:
        threading.Timer(delay_seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    tokens, targets = batch_of(10**6)
    run(
        run_dir=run_dir,
        state=Training(operations),
        step=step,
        batches=batch_of,
        num_steps=NUM_STEPS,
        every=EVERY,
        evaluate=lambda s: {
            "validation_loss_nats": nn.functional.cross_entropy(s.model(tokens), targets).item()
        },
        config={"steps": NUM_STEPS},
        progress=False,
    )
    return operations.done


def obey(order: dict[str, Any]) -> dict[str, Any]:
    """Fork a child for one order and report how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            done = train(Path(order["run_dir"]), order.get("kill_at"), order.get("delay_seconds"))
            os.write(writing, str(done).encode())
            status = 0
        finally:
            os._exit(status)  # a timer that is still running dies here
    os.close(writing)
    with os.fdopen(reading) as answer:
        done = answer.read()
    _, status = os.waitpid(child, 0)
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    return {"status": os.waitstatus_to_exitcode(status), "killed_by": killed_by, "operations": int(done or 0)}


def warm_up() -> None:
    """Let torch import what it loads with the first optimizer step (seconds), once and for all children."""
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.ones(1)
    torch.optim.AdamW([parameter]).step()


if __name__ == "__main__":
    warm_up()
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)
