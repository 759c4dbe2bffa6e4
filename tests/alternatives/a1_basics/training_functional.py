"""Training without modules, in float64: weights in a dict, a forward function, Adam by its formula, two slots."""

import dataclasses
import hashlib
import json
import math
import zipfile

import numpy as np
import torch

from shared.store.artifacts import Store
from shared.store.kinds import read_shards, write_checkpoint, write_run_log

SOLVES = ("training_together",)


def initial(config, seed):
    random = np.random.default_rng(seed)
    d, f, v = config.d_model, config.d_ff, config.vocab_size
    shapes = {"token_embeddings.weight": (v, d), "ln_final.weight": (d,), "lm_head.weight": (v, d)}
    for layer in range(config.num_layers):
        at = f"layers.{layer}."
        shapes |= {f"{at}attn.{name}_proj.weight": (d, d) for name in ("q", "k", "v", "output")}
        shapes |= {f"{at}ln1.weight": (d,), f"{at}ln2.weight": (d,)}
        shapes |= {f"{at}ffn.w1.weight": (f, d), f"{at}ffn.w2.weight": (d, f), f"{at}ffn.w3.weight": (f, d)}
    out = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            out[name] = torch.ones(shape, dtype=torch.float64)
        else:
            spread = 1.0 if name.startswith("token") else math.sqrt(2 / sum(shape))
            out[name] = torch.from_numpy(random.standard_normal(shape) * spread)
    return out


def norm(x, gain, eps):
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * gain


def turned(x, theta):
    length, width = x.shape[-2:]
    speeds = theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    turns = torch.polar(torch.ones(()).double(), torch.arange(length)[:, None] * speeds)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2)


def logits_of(w, ids, config):
    x = w["token_embeddings.weight"][ids]
    future = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).triu(1)
    for layer in range(config.num_layers):
        own = {k.split(".", 2)[2]: v for k, v in w.items() if k.startswith(f"layers.{layer}.")}
        h = norm(x, own["ln1.weight"], config.norm_eps)
        q, k, v = (
            (h @ own[f"attn.{name}_proj.weight"].T).unflatten(-1, (config.num_heads, -1)).transpose(1, 2)
            for name in "qkv"
        )
        scores = turned(q, config.rope_theta) @ turned(k, config.rope_theta).mT / math.sqrt(q.shape[-1])
        mixed = scores.masked_fill(future, -math.inf).softmax(-1) @ v
        x = x + mixed.transpose(1, 2).flatten(-2) @ own["attn.output_proj.weight"].T
        h = norm(x, own["ln2.weight"], config.norm_eps)
        gate = h @ own["ffn.w1.weight"].T
        x = x + (gate * gate.sigmoid() * (h @ own["ffn.w3.weight"].T)) @ own["ffn.w2.weight"].T
    return norm(x, w["ln_final.weight"], config.norm_eps) @ w["lm_head.weight"].T


def loss_of(w, tokens, starts, config):
    rows = np.stack([np.asarray(tokens[i : i + config.context_length + 1], np.int64) for i in starts])
    ids = torch.from_numpy(rows)
    log_p = logits_of(w, ids[:, :-1], config).log_softmax(-1)
    return -log_p.gather(-1, ids[:, 1:, None]).mean()


def rate_at(it, job):  # the first step is number 0 here
    if it < job.warmup_steps:
        return job.max_learning_rate * it / job.warmup_steps
    part = (it - job.warmup_steps) / max(job.steps - job.warmup_steps, 1)
    between = math.cos(math.pi / 2 * min(part, 1)) ** 2
    return job.min_learning_rate + between * (job.max_learning_rate - job.min_learning_rate)


def newest(folder):
    """The state of the newest slot that can be read."""
    found = []
    for slot in folder.glob("slot-*.npz"):
        try:
            with np.load(slot) as arrays:
                found.append({name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            continue
    return max(found, key=lambda state: int(state["step"]), default=None)


def train(job):
    if job.init or job.microbatches > 1:
        raise ValueError("init and microbatches are not built here")
    store = Store(job.store)
    source = store.open(job.shards, "Shards")
    shards, config = read_shards(source), job.model
    tokens, val = shards.tokens("train"), shards.tokens("val")
    record = json.loads(json.dumps(dataclasses.asdict(job), default=str))
    for name in ("store", "runs", "name", "impl"):
        record.pop(name)
    mark = hashlib.md5(json.dumps([record, source.digest]).encode()).hexdigest()
    folder = job.runs / mark
    folder.mkdir(parents=True, exist_ok=True)

    w = initial(config, job.seed)
    names = list(w)
    m = {name: torch.zeros_like(w[name]) for name in names}
    v = {name: torch.zeros_like(w[name]) for name in names}
    done, log = 0, []
    if (state := newest(folder)) is not None:
        done, log = int(state["step"]), json.loads(str(state["log"]))
        for kind, tensors in (("w", w), ("m", m), ("v", v)):
            tensors.update({name: torch.from_numpy(state[f"{kind}/{name}"]) for name in names})

    for step in range(done, job.steps):
        random = np.random.default_rng((job.seed, step, 1))
        starts = random.integers(len(tokens) - config.context_length, size=job.batch_size)
        live = {name: w[name].requires_grad_() for name in names}
        loss = loss_of(live, tokens, starts, config)
        gradients = torch.autograd.grad(loss, [live[name] for name in names])
        size = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        factor, lr, t = min(1.0, job.clip_norm / (size + 1e-6)), rate_at(step, job), step + 1
        for name, g in zip(names, gradients, strict=True):
            g = g * factor
            m[name] = job.beta1 * m[name] + (1 - job.beta1) * g
            v[name] = job.beta2 * v[name] + (1 - job.beta2) * g * g
            update = (m[name] / (1 - job.beta1**t)) / ((v[name] / (1 - job.beta2**t)).sqrt() + job.adam_eps)
            kept = 1 - lr * job.weight_decay * (w[name].ndim > 1)
            w[name] = w[name].detach() * kept - lr * update
        log.append({"step": t, "loss_nats": float(loss.detach()), "learning_rate": lr})
        if t == job.steps or t % job.evaluate_every_steps == 0:
            count = job.evaluate_batches * job.batch_size
            places = range(0, len(val) - config.context_length, config.context_length)[:count]
            with torch.no_grad():
                log.append({"step": t, "validation_loss_nats": float(loss_of(w, val, places, config))})
        if t == job.steps or t % job.checkpoint_every_steps == 0:
            arrays = {
                f"{k}/{n}": x.numpy() for k, d in zip("wmv", (w, m, v), strict=True) for n, x in d.items()
            }
            slot = folder / f"slot-{t // job.checkpoint_every_steps % 2}.npz"
            np.savez(slot, step=t, log=json.dumps(log), **arrays)

    parents = {"shards": source.digest, "tokenizer": source.parents["tokenizer"]}
    with store.draft("Checkpoint", config=record, parents=parents, name=job.name) as draft:
        write_checkpoint(draft, config, {name: tensor.detach().float() for name, tensor in w.items()})
    checkpoint = draft.artifact.digest
    with store.draft("RunLog", config=record, parents={"checkpoint": checkpoint}, name=job.name) as draft:
        write_run_log(draft, log, record)
    return checkpoint
