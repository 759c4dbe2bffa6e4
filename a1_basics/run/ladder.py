"""Climb from a counted bigram to a modern transformer: the same text and the same number of tokens for every rung.

Each rung is the one before it with one thing changed (`a1_basics.model.rungs`). The table, the curves and one sample of
each are published as Runs; `python -m shared.report.ladder` draws them. A rung that is finished is never trained again:
the same command goes on with the next, or within the one that was stopped.
"""

import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn, optim

from a1_basics.configs import LADDER_RUNS, MEASURED, LadderRun
from a1_basics.model.rungs import LADDER, Rung, Shape, gated_width
from a1_basics.training.checks import check_job
from a1_basics.training.loop import fresh_model, run_language_model
from a1_basics.training.muon import Muon, hidden_parameter_groups
from a1_basics.training.step import Batch, TrainState, TrainStep, language_model_step
from shared import accounting, costs
from shared.doors.protocols import Attend, BasicsDoor, ModelConfig, TrainJob
from shared.doors.resolve import door, source_roots
from shared.doors.tokenizers import open_tokenizer
from shared.errors import ConfigError
from shared.runs.config import did_you_mean
from shared.runs.program import run_program
from shared.runs.runlog import read_log
from shared.runs.seeded import seeded
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import Shards, read_runs, read_shards, read_tokenizer, write_runs

INPUTS = {"shards": "Shards"}
OUTPUTS = {"ladder": "Runs"}

COUNTED, NEW_WHEN_COUNTED = "counted bigram", "how often each character follows each other"
NAMES = (COUNTED, *(rung.name for rung in LADDER))
KEPT_IN_CURVES = ("step", "loss_nats", "validation_loss_nats", "learning_rate", "tokens_per_second")
NUM_EVALUATIONS = 10  # along each curve
TYPICAL_CHARACTERS = 66  # of an English text, for --dry-run


def main(config: LadderRun) -> None:
    """Publish the Runs `config.name`, training the rungs that are not there yet."""
    check(config)
    store = Store(config.store)
    source = store.open(config.shards, "Shards")
    config = dataclasses.replace(config, shards=source.digest)
    sources = source_roots("a1_basics", config.impl)
    key = step_key("a1_basics.run.ladder", config, {"shards": source.digest}, sources)
    if already_made(store, key, config.name):
        show(read_runs(store.open(config.name, "Runs"))[0])
        return
    climb = Climb(config, store, source, sources)
    made = [climb.rung(name) for name in config.rungs or NAMES]
    parents = {"shards": source.digest} | {slug(name): rung.digest for name, rung in made}
    rows, curves = [], {}
    for _, rung in made:
        row, curve = read_runs(rung)
        rows, curves = rows + row, curves | curve
    with store.draft("Runs", config=recorded(config), parents=parents, name=config.name, key=key) as draft:
        write_runs(draft, rows, curves)
        draft.cost_seconds = sum(row["seconds"] for row in rows)
    show(rows)
    print(draft.artifact)


def check(config: LadderRun) -> None:
    """Raises: ConfigError: a rung that the ladder does not have, or a width that its heads cannot share."""
    for name in config.rungs:
        if name not in NAMES:
            raise ConfigError(
                f"there is no rung {name!r}{did_you_mean(name, NAMES)} Rungs: {', '.join(NAMES)}"
            )
    if config.d_model % (2 * config.num_heads) or config.num_heads % config.num_kv_heads:
        raise ConfigError(
            f"d_model={config.d_model} must be a multiple of twice num_heads={config.num_heads}, which must be one of "
            f"num_kv_heads={config.num_kv_heads}"
        )


class Climb:
    """What all rungs of one climb share."""

    def __init__(self, config: LadderRun, store: Store, source: Artifact, sources: list[str]) -> None:
        self.config, self.store, self.source, self.sources = config, store, source, sources
        self.parts = door("a1_basics", config.impl)
        whole = read_shards(source)
        self.shards = LastTokens(whole.artifact, whole.table, config.train_tokens)
        self.files = read_tokenizer(store.open(source.parents["tokenizer"], "Tokenizer"))
        if self.files.type != "chars":
            raise ConfigError(
                f"the tokens of {config.shards!r} are of kind {self.files.type!r}; the ladder wants single characters, "
                "since it compares nats per character. Make such: python -m a1_basics.run.train_tokenizer --kind chars "
                "--corpus NAME --name characters; python -m a1_basics.run.encode --corpus NAME --tokenizer characters "
                "--name characters; then --shards characters"
            )

    def rung(self, name: str) -> tuple[str, Artifact]:
        """A rung's row, curve and sample, as Runs of their own: made before, or now."""
        config = dataclasses.replace(self.config, rungs=(name,))
        inputs = {"shards": self.source.digest}
        key = step_key("a1_basics.run.ladder:rung", config, inputs, self.sources)
        public_name = f"{self.config.name}-{slug(name)}"
        made = already_made(self.store, key, public_name)
        if made is not None:
            return name, made
        row, curve, model = self.counted() if name == COUNTED else self.trained(name, key)
        found = self.parts.evaluate_model(
            model.eval(), self.shards.tokens("val"), self.files.token_bytes(), self.config.context_length, 64
        )
        row |= {"validation_loss_nats": found.nats_per_token, "validation_bits_per_byte": found.bits_per_byte}
        row |= self.sample(model)
        with self.store.draft(
            "Runs", config=recorded(config), parents=inputs, name=public_name, key=key
        ) as draft:
            write_runs(draft, [row], {name: curve})
            draft.cost_seconds = row["seconds"]
        show([row])
        return name, draft.artifact

    def counted(self) -> tuple[dict[str, Any], list[dict[str, Any]], nn.Module]:
        """The bigram in closed form: no step, no curve."""
        model = self.parts.bigram_model(self.shards.tokens("train"), self.shards.vocab_size)
        row = {"run": COUNTED, "new": NEW_WHEN_COUNTED, "optimizer": "none"}
        num_pairs = self.shards.vocab_size**2
        return row | {"parameters": num_pairs, "steps": 0, "train_tokens": 0, "seconds": 0.0}, [], model

    def trained(self, name: str, key: str) -> tuple[dict[str, Any], list[dict[str, Any]], nn.Module]:
        """A rung trained to its end, going on from where it was stopped."""
        config, rung = self.config, next(rung for rung in LADDER if rung.name == name)
        job = job_of(config, rung, self.shards.vocab_size)
        check_job(job, self.shards)
        shape = shape_of(config, self.shards.vocab_size)
        model = fresh_model(job, lambda _: rung.parts.build(shape))
        run_dir = config.runs / f"{config.name}-{slug(name)}-{key[:12]}"
        result = run_language_model(
            job,
            self.parts,
            model,
            self.shards,
            self.files.token_bytes(),
            run_dir,
            make_step=reproducible_step,
            make_optimizer=muon if rung.optimizer == "muon" else None,
            config=recorded(config) | {"rung": name},
        )
        num_tokens = job.steps * job.batch_size * config.context_length
        row = {
            "run": name,
            "new": rung.new,
            "optimizer": rung.optimizer,
            "max_learning_rate": job.max_learning_rate,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "steps": job.steps,
            "train_tokens": num_tokens,
            "seconds": result.train_seconds,
            "tokens_per_second": num_tokens / max(result.train_seconds, 1e-9),
        }
        curve = [
            {key: value for key, value in record.items() if key in KEPT_IN_CURVES}
            for record in read_log(result.log)
        ]
        return row, curve, result.state.model

    def sample(self, model: nn.Module) -> dict[str, Any]:
        """How the model goes on from the first held-out characters."""
        config = self.config
        tokenizer = open_tokenizer(self.parts, self.files)
        prompt = torch.from_numpy(self.shards.tokens("val")[: config.prompt_tokens].astype("int64"))
        new_ids = self.parts.generate_tokens(
            model, prompt, config.sample_tokens, config.context_length, config.temperature, seed=config.seed,
            end_token=self.files.end_of_text_id,
        )  # fmt: skip
        text = tokenizer.decode([token for token in new_ids if token != self.files.end_of_text_id])
        return {
            "prompt": tokenizer.decode(prompt.tolist()),
            "sample": text,
            "temperature": config.temperature,
        }


@dataclass(frozen=True)
class LastTokens(Shards):
    """Shards whose training split is only its end, the part that lies nearest to the held-out text."""

    num_train_tokens: int = 0  # 0: all of them

    def tokens(self, split: str, **options: int) -> np.ndarray:
        """The ids of a split."""
        found = super().tokens(split, **options)
        return found[-self.num_train_tokens :] if split == "train" else found


def shape_of(config: LadderRun, vocab_size: int) -> Shape:
    """The sizes that the rungs share."""
    names = [field.name for field in dataclasses.fields(Shape) if field.name != "vocab_size"]
    return Shape(vocab_size, **{name: getattr(config, name) for name in names})


def job_of(config: LadderRun, rung: Rung, vocab_size: int) -> TrainJob:
    """How a rung is trained: all alike, but for the learning rate that suits it."""
    rate = config.max_learning_rate or rung.max_learning_rate
    return TrainJob(
        model=ModelConfig(
            vocab_size=vocab_size,
            context_length=config.context_length,
            d_model=config.d_model,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            d_ff=gated_width(config.d_model),
        ),
        shards=config.shards,
        name=rung.name,
        steps=config.steps,
        batch_size=config.batch_size,
        max_learning_rate=rate,
        min_learning_rate=rate / 20,
        warmup_steps=config.steps // 20,
        seed=config.seed,
        precision=config.precision,
        device=config.device,
        evaluate_every_steps=max(config.steps // NUM_EVALUATIONS, 1),
        evaluate_batches=config.evaluate_batches,
        checkpoint_every_steps=max(config.steps // NUM_EVALUATIONS, 1),
        keep_checkpoints=1,
    )


def muon(model: nn.Module, job: TrainJob) -> optim.Optimizer:
    """Muon for the matrices of the layers, AdamW for the rest, at AdamW's learning rate."""
    groups = hidden_parameter_groups(model, job.weight_decay)
    return Muon(groups, lr=job.max_learning_rate, betas=(job.beta1, job.beta2), eps=job.adam_eps)


def reproducible_step(
    parts: BasicsDoor, job: TrainJob, attend: Attend | None, dtype: torch.dtype
) -> TrainStep:
    """The language-model step, its dropout drawn from the seed and the step alone: a resumed run drops the same."""
    step = language_model_step(parts, job, attend, dtype)

    def drawn(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, float]]:
        with seeded(job.seed + 1, state.steps_done):  # not the batches' own numbers again
            return step(state, batch)

    return drawn


def slug(name: str) -> str:
    """A rung's name as part of a file name.

    >>> slug("residual + LayerNorm")
    'residual-layernorm'
    """
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each rung."""
    for row in rows:
        print(
            f"{row['run']:<22} {row['parameters']:>11,} parameters {row['seconds']:7.1f} s  "
            f"{row['validation_loss_nats']:.4f} nats per character",
            flush=True,
        )


def plan(config: LadderRun) -> dict[str, Any]:
    """What the climb costs, at most: a rung without some part is counted as if it had it."""
    work = work_of(config)
    measured = costs.measured_for(config, MEASURED.get("ladder", {}), LADDER_RUNS, work_of)
    return {
        "rungs_to_train": len(work),
        "train_tokens_per_rung": config.steps * config.batch_size * config.context_length,
        "train_flops": sum(piece.flops for piece in work),
        "largest_run_bytes": max((piece.memory_bytes for piece in work), default=0.0),
        **costs.tiers(work, config.prices, measured),
    }


def work_of(config: LadderRun) -> list[costs.Work]:
    """What each rung that is trained computes and holds."""
    return [accounting.training_work(job) for job in jobs(config)]


def jobs(config: LadderRun) -> list[TrainJob]:
    """A job for each rung that is trained, its model counted as a transformer of the rung's depth."""
    found = []
    for rung in LADDER:
        if rung.name in (config.rungs or NAMES):
            job = job_of(config, rung, TYPICAL_CHARACTERS)
            depth = job.model.num_layers if rung.parts.norm else 1
            found.append(dataclasses.replace(job, model=dataclasses.replace(job.model, num_layers=depth)))
    return found


if __name__ == "__main__":
    sys.exit(run_program(main, LADDER_RUNS, inputs=INPUTS, outputs=OUTPUTS))
