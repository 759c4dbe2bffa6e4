"""What there is to tell about one language-model run: gathered from its artifacts, before any of it becomes a page.

Everything here is read and nothing recomputed, but for one held-out text that the tokenizer cuts into tokens.
Measured times stay apart (`Cost`), because they lie outside every digest.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared import accounting
from shared.doors.protocols import ModelConfig
from shared.doors.resolve import door
from shared.doors.tokenizers import open_tokenizer
from shared.errors import ArtifactError
from shared.runs.runlog import VALIDATION_LOSS, series
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import (
    TokenizerFiles,
    read_corpus,
    read_eval_report,
    read_run_log,
    read_samples,
    read_shape,
    read_tokenizer,
)

SHOWN_TEXT_CHARS = 420
NUM_LONGEST, NUM_MERGES = 16, 12


@dataclass(frozen=True)
class TokenizerFacts:
    """What a tokenizer learned."""

    vocab_size: int
    made_of: str  # "256 bytes, 1,791 merges"
    first_merges: list[tuple[bytes, bytes]]
    longest_tokens: list[bytes]
    special_tokens: list[str]
    pieces: list[bytes]  # one held-out text, cut


@dataclass(frozen=True)
class Cost:
    """What the run took here: different at every repetition."""

    train_seconds: float | None
    tokens_per_second: float | None
    host: str


@dataclass(frozen=True)
class BaseRun:
    """One trained model with everything that led to it and everything measured of it."""

    name: str
    checkpoint: Artifact
    ancestors: Sequence[Artifact]  # nearest first
    descendants: Sequence[Artifact]  # evaluation, samples, log
    model: ModelConfig
    parameters: accounting.Parameters
    job: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]
    evaluation: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]
    tokenizer: TokenizerFacts
    cost: Cost

    @property
    def trained_tokens(self) -> int:
        return int(self.job["steps"]) * int(self.job["batch_size"]) * self.model.context_length

    @property
    def train_flops(self) -> float:
        return self.trained_tokens * accounting.training_flops_per_token(
            self.model, self.model.context_length
        )

    @property
    def gap_closed_fraction(self) -> float | None:
        """How much of the way from the counted bigram to the entropy floor the model went; None without a floor."""
        bigram, floor = (
            self.evaluation.get("bigram_bits_per_byte"),
            self.evaluation.get("floor_bits_per_byte"),
        )
        if bigram is None or floor is None or bigram <= floor:
            return None
        return (bigram - self.evaluation["bits_per_byte"]) / (bigram - floor)


def read_base_run(
    store: Store, *, checkpoint: str, evaluation: str, samples: str, log: str, impl: str
) -> BaseRun:
    """Open the run's artifacts and gather what they say.

    Raises:
        ArtifactError: one is missing or damaged, or does not belong to this checkpoint.
    """
    trained = store.open(checkpoint, "Checkpoint")
    measured = belonging(store.open(evaluation, "EvalReport"), trained)
    drawn = belonging(store.open(samples, "Samples"), trained)
    logged = belonging(store.open(log, "RunLog"), trained)
    job, records = read_run_log(logged)
    model = model_of(trained)
    tokenizer = store.open(trained.parents["tokenizer"], "Tokenizer")
    shards = store.open(trained.parents["shards"], "Shards")
    corpus = store.open(shards.parents["corpus"], "Corpus")
    steps, rates = series(records, "tokens_per_second")
    return BaseRun(
        name=trained.name_hint or trained.digest[:12],
        checkpoint=trained,
        ancestors=store.lineage(trained),
        descendants=(logged, measured, drawn),
        model=model,
        parameters=accounting.parameters(model),
        job=job,
        records=records,
        evaluation=read_eval_report(measured),
        samples=read_samples(drawn),
        tokenizer=tokenizer_facts(tokenizer, corpus, impl),
        cost=Cost(
            train_seconds=trained.origin.get("cost_seconds"),
            tokens_per_second=sorted(rates)[len(rates) // 2] if steps else None,
            host=str(trained.origin.get("host", "")),
        ),
    )


def belonging(artifact: Artifact, checkpoint: Artifact) -> Artifact:
    """The artifact, when it was made from this checkpoint.

    Raises:
        ArtifactError: it was made from another.
    """
    found = artifact.parents.get("checkpoint", "")
    if found != checkpoint.digest:
        raise ArtifactError(
            f"{artifact} describes checkpoint {found[:12]}, and the report is about {checkpoint}. Evaluate and sample "
            "this one, or name the checkpoint that was meant: --checkpoint " + found[:12]
        )
    return artifact


def model_of(checkpoint: Artifact) -> ModelConfig:
    """The model's shape, without loading its weights.

    Raises:
        ArtifactError: it is another architecture than the one that the page describes.
    """
    shape = read_shape(checkpoint)
    if not isinstance(shape, ModelConfig):
        raise ArtifactError(f"{checkpoint} is a GPT-2; the page describes what `run.train_lm` trains")
    return shape


def tokenizer_facts(tokenizer: Artifact, corpus: Artifact, impl: str) -> TokenizerFacts:
    """The vocabulary's facts and one held-out document, cut by the run's own tokenizer."""
    files = read_tokenizer(tokenizer)
    special = {token.encode() for token in files.special_tokens}
    ordinary = (token for token in files.vocab.values() if token not in special)
    reader = read_corpus(corpus)
    split = "val" if "val" in reader.splits else next(iter(reader.splits))
    text = next(iter(reader.documents(split)), "")
    if len(text) > SHOWN_TEXT_CHARS:
        text = text[:SHOWN_TEXT_CHARS].rsplit(" ", 1)[0]
    ids = open_tokenizer(door("a1_basics", impl), files).encode(text)
    return TokenizerFacts(
        vocab_size=len(files.vocab),
        made_of=made_of(files),
        first_merges=list(itertools.islice(files.merges, NUM_MERGES)),
        longest_tokens=sorted(ordinary, key=lambda token: (-len(token), token))[:NUM_LONGEST],
        special_tokens=list(files.special_tokens),
        pieces=[files.vocab[index] for index in ids],
    )


def made_of(files: TokenizerFiles) -> str:
    """What a vocabulary consists of, special tokens aside."""
    if files.type == "chars":
        return f"{len(files.vocab) - len(files.added_tokens):,} characters"
    return "256 bytes" if files.type == "bytes" else f"256 bytes, {len(files.merges):,} merges"


def loss_points(run: BaseRun) -> tuple[tuple[list[int], list[float]], tuple[list[int], list[float]]]:
    """Training loss and validation loss, each as steps and nats per token."""
    return series(run.records, "loss_nats"), series(run.records, VALIDATION_LOSS)
