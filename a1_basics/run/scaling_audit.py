"""Experiment: three sizes of model over the same tokens: loss, tokens per second, bytes, and what they write."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch

from a1_basics.configs import feed_forward_width
from a1_basics.studies import SCALING_AUDIT, ScalingAudit
from a1_basics.training.step import TrainState
from a1_basics.training.sweep import Member, job_of, run_sweep, sweep_plan
from shared import accounting
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.kinds import read_shards, read_tokenizer

INPUTS = {"shards": "Shards"}
OUTPUTS = {"table": "Runs"}

SAMPLE_TOKENS = 120


def members(config: ScalingAudit) -> list[Member]:
    """A run for each size. Wider and deeper models want lower rates: the peak falls as the root of the width."""
    found = []
    for num_layers, d_model in config.sizes:
        model = size_of(config.model, num_layers, d_model, config.d_ff_multiple)
        rate = config.max_learning_rate * (config.model.d_model / model.d_model) ** 0.5
        job = job_of(config, model=model, max_learning_rate=rate, min_learning_rate=rate / 10)
        count = accounting.parameters(model)
        facts = {
            "non_embedding_parameters": count.non_embedding,
            "weight_bytes": accounting.BYTES_PER_FLOAT32 * count.total,
            "state_bytes": accounting.training_bytes(model),
            "activation_bytes": accounting.activation_bytes(model, job.batch_size, model.context_length),
            "max_learning_rate": rate,
        }
        found.append(Member(f"{count.total / 1e6:.2g}M", job, facts, finish=writes(config)))
    return found


def size_of(model: ModelConfig, num_layers: int, d_model: int, d_ff_multiple: int = 1) -> ModelConfig:
    """The model at another depth and width; its heads keep their width, its feed-forward its ratio of 8/3."""
    head_dim = model.d_model // model.num_heads
    return dataclasses.replace(
        model,
        num_layers=num_layers,
        d_model=d_model,
        num_heads=max(d_model // head_dim, 1),
        d_ff=feed_forward_width(d_model, d_ff_multiple),
    )


def writes(config: ScalingAudit) -> Callable[[TrainState], dict[str, Any]]:
    """A column with what the trained model writes after an end of text, the same draws for all sizes."""

    def sample(state: TrainState) -> dict[str, Any]:
        store = Store(config.store)
        source = store.open(config.shards, "Shards")
        files = read_tokenizer(store.open(source.parents["tokenizer"], "Tokenizer"))
        end_token = read_shards(source).end_of_text_id
        parts: Any = door("a1_basics", config.impl)
        state.model.eval()
        drawn = parts.generate_tokens(
            state.model,
            torch.tensor([end_token]),
            max_new_tokens=SAMPLE_TOKENS,
            context_length=config.model.context_length,
            temperature=0.7,
            seed=config.seed,
            end_token=end_token,
        )
        text = b"".join(files.vocab[token] for token in drawn if token != end_token)
        return {"sample": text.decode("utf-8", errors="replace")}

    return sample


def main(config: ScalingAudit) -> None:
    """Publish the Runs `config.name`."""
    run_sweep("scaling_audit", config, members(config))


def plan(config: ScalingAudit) -> Mapping[str, Any]:
    """What it will cost."""
    return sweep_plan("scaling_audit", SCALING_AUDIT, members, config)


if __name__ == "__main__":
    sys.exit(run_program(main, SCALING_AUDIT, inputs=INPUTS, outputs=OUTPUTS))
