"""Training as one plain script: a loop, one file that is replaced, batches drawn from the seed and the step."""

import dataclasses
import hashlib
import json
import math
import os

import numpy as np
import torch

from a1_basics import adapters
from shared.store.artifacts import Store
from shared.store.kinds import read_shards, write_checkpoint, write_run_log

SOLVES = ("training_together",)

PLACES = ("store", "runs", "name", "impl", "prices")


def rate_at(step, job):
    if step < job.warmup_steps:
        return job.max_learning_rate * step / job.warmup_steps
    progress = min((step - job.warmup_steps) / max(job.steps - job.warmup_steps, 1), 1.0)
    swing = job.max_learning_rate - job.min_learning_rate
    return job.min_learning_rate + swing * (1 + math.cos(math.pi * progress)) / 2


def windows(tokens, starts, length):
    rows = np.stack([tokens[i : i + length + 1] for i in starts]).astype(np.int64)
    both = torch.from_numpy(rows)
    return both[:, :-1], both[:, 1:]


def loss_of(model, x, y):
    return torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())


@torch.no_grad()
def held_out_loss(model, tokens, job):
    length = job.model.context_length
    starts = range(0, len(tokens) - length, length)[: job.evaluate_batches * job.batch_size]
    return loss_of(model, *windows(tokens, starts, length)).item()


def save(content, path):
    beside = path.with_suffix(".new")
    torch.save(content, beside)
    os.replace(beside, path)


def train(job):
    if job.init or job.microbatches != 1:
        raise ValueError("this training knows neither init nor microbatches")
    store = Store(job.store)
    source = store.open(job.shards, "Shards")
    shards = read_shards(source)
    tokens, length = shards.tokens("train"), job.model.context_length
    config = {k: v for k, v in dataclasses.asdict(job).items() if k not in PLACES}
    config["shards"] = source.digest
    identity = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]
    folder = job.runs / f"{job.name}-{identity}"
    folder.mkdir(parents=True, exist_ok=True)
    latest = folder / "latest.pt"

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        model = adapters.build_model(job.model)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": job.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=job.max_learning_rate, betas=(job.beta1, job.beta2), eps=job.adam_eps
    )
    step, log = 0, []
    if latest.exists():
        kept = torch.load(latest, weights_only=True)
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        step, log = kept["step"], kept["log"]

    while step < job.steps:
        starts = np.random.default_rng([job.seed, step]).integers(0, len(tokens) - length, job.batch_size)
        step += 1
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, job)
        optimizer.zero_grad()
        loss = loss_of(model, *windows(tokens, starts, length))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), job.clip_norm)
        optimizer.step()
        log.append({"step": step, "loss_nats": loss.item(), "learning_rate": rate_at(step, job)})
        if step % job.evaluate_every_steps == 0 or step == job.steps:
            held_out = held_out_loss(model, shards.tokens("val"), job)
            log.append({"step": step, "validation_loss_nats": held_out})
        if step % job.checkpoint_every_steps == 0 or step == job.steps:
            content = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            save(content | {"step": step, "log": log}, latest)

    parents = {"shards": source.digest, "tokenizer": source.parents["tokenizer"]}
    with store.draft("Checkpoint", config=config, parents=parents, name=job.name) as draft:
        write_checkpoint(draft, job.model, model.state_dict(), {"steps": step})
    parents = {"checkpoint": draft.artifact.digest}
    with store.draft("RunLog", config=config, parents=parents, name=job.name) as records:
        write_run_log(records, log, config)
    return draft.artifact.digest
