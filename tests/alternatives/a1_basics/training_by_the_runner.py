"""Training as a State and a step for the workspace's own loop, which saves, resumes and logs; in-place updates."""

import dataclasses
import math

import torch
from safetensors.torch import load_file, save_file

from a1_basics import adapters
from shared.runs import runner
from shared.runs.runlog import comparable
from shared.runs.step_key import step_key
from shared.store.artifacts import Store
from shared.store.kinds import read_shards, write_checkpoint, write_run_log

SOLVES = ("training_together",)


class Everything:
    """All that a step changes, as one flat dict of tensors."""

    def __init__(self, model):
        self.model = model
        self.m = [torch.zeros_like(p) for p in model.parameters()]
        self.v = [torch.zeros_like(p) for p in model.parameters()]
        self.step = torch.zeros((), dtype=torch.long)

    def tensors(self):
        flat = {f"weights/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for i, (m, v) in enumerate(zip(self.m, self.v, strict=True)):
            flat |= {f"m/{i}": m, f"v/{i}": v}
        return flat | {"step": self.step}

    def save(self, directory):
        save_file({k: v.contiguous() for k, v in self.tensors().items()}, directory / "all.safetensors")

    @torch.no_grad()
    def load(self, directory):
        kept = load_file(directory / "all.safetensors")
        for name, tensor in self.tensors().items():
            tensor.copy_(kept[name])


def batch(tokens, job, step):
    generator = torch.Generator().manual_seed(job.seed * 1_000_003 + step)
    length = job.model.context_length
    starts = torch.randint(len(tokens) - length, (job.batch_size,), generator=generator).tolist()
    rows = [torch.tensor(tokens[i : i + length + 1].tolist()) for i in starts]
    return torch.stack(rows)


def mean_loss(model, rows):
    logits = model(rows[:, :-1]).flatten(0, 1)
    return (logits.logsumexp(-1) - logits.gather(-1, rows[:, 1:].reshape(-1, 1))[:, 0]).mean()


def train(job):
    if job.init or job.microbatches != 1:
        raise ValueError("init and microbatches are for another day")
    store = Store(job.store)
    source = store.open(job.shards, "Shards")
    shards = read_shards(source)
    tokens, val = shards.tokens("train"), shards.tokens("val")
    config = {k: v for k, v in dataclasses.asdict(job).items() if k not in ("store", "runs", "name")}
    config["shards"] = source.digest
    key = step_key("training", job, {"shards": source.digest}, [])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        state = Everything(adapters.build_model(job.model))
    parameters = list(state.model.parameters())

    def step(state, rows):
        t = int(state.step.add_(1))
        lr = adapters.run_get_lr_cosine_schedule(
            t, job.max_learning_rate, job.min_learning_rate, job.warmup_steps, job.steps
        )
        state.model.zero_grad()
        loss = mean_loss(state.model, rows)
        loss.backward()
        adapters.run_gradient_clipping(iter(parameters), job.clip_norm)
        with torch.no_grad():
            for p, m, v in zip(parameters, state.m, state.v, strict=True):
                m.lerp_(p.grad, 1 - job.beta1)
                v.mul_(job.beta2).addcmul_(p.grad, p.grad, value=1 - job.beta2)
                root = v.sqrt() / math.sqrt(1 - job.beta2**t) + job.adam_eps
                p.addcdiv_(m, root, value=-lr / (1 - job.beta1**t))
                p.mul_(1 - lr * job.weight_decay)
        return state, {"loss_nats": loss.item(), "learning_rate": lr}

    @torch.no_grad()
    def evaluate(state):
        length = job.model.context_length
        starts = range(0, len(val) - length, length)[: job.evaluate_batches * job.batch_size]
        rows = torch.stack([torch.tensor(val[i : i + length + 1].tolist()) for i in starts])
        return {runner.VALIDATION_LOSS: mean_loss(state.model, rows).item()}

    result = runner.run(
        run_dir=job.runs / f"{job.name}-{key[:12]}",
        state=state,
        step=step,
        batches=lambda number: batch(tokens, job, number),
        num_steps=job.steps,
        every=runner.Cadence(1, job.evaluate_every_steps, job.checkpoint_every_steps, job.keep_checkpoints),
        evaluate=evaluate,
        guard=None,
        progress=False,
    )
    parents = {"shards": source.digest, "tokenizer": source.parents["tokenizer"]}
    with store.draft("Checkpoint", config=config, parents=parents, name=job.name) as draft:
        numbers = comparable([result.metrics])[0]
        write_checkpoint(draft, job.model, state.model.state_dict(), {"metrics": numbers})
    made = draft.artifact
    with store.draft("RunLog", config=config, parents={"checkpoint": made.digest}, name=job.name) as draft:
        write_run_log(draft, result.log, config)
    store.give_key(made, key)  # last: killed before this line, the same command publishes both again
    return made.digest
