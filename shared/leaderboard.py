"""The leaderboards of stage 1: rules, and what an entry's checkpoint and lineage say when they are looked at again.

A result card is a claim. Nothing of it is believed: the loss is measured again, the budget is counted again from the
settings of every checkpoint in the lineage, and the data are compared byte by byte with the board's own.
What no artifact can show is that its settings are those it was trained with: for that there is `again`.
"""

import contextlib
import io
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shared import accounting
from shared.corpora.make import MakeCorpus
from shared.corpora.make import main as make_corpus
from shared.corpora.stories import stories
from shared.device import pick_device
from shared.doors.protocols import BasicsDoor, ModelConfig, TrainJob
from shared.errors import ArtifactError, ConfigError
from shared.runs.config import from_dict
from shared.store.archive import export_archive, import_archive
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import DOCUMENT_END, read_checkpoint, read_corpus, read_shards, read_tokenizer
from shared.store.kinds.checkpoint import read_shape

FRESH_SEED = 1_000_003
"""Stories that no board's corpus holds: a model that learned the held-out text by heart does worse on these."""
FRESH_BYTES = 300_000
SLACK_OF_FRESH = 0.05
"""One pair of draws of 300 kB of stories differed by 0.3 % in bits per byte; the rest is margin, not measured."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class Board:
    """The rules of one board."""

    name: str
    about: str
    train_flops: float  # forward and backward matrix products of all training, counted by `accounting`
    corpus: MakeCorpus  # the text of every entry: trained on its split train, measured on val
    baseline_bits_per_byte: float  # what has to be beaten
    train_seconds: float = math.inf  # of the machine that `about` names
    fresh_bytes: int = FRESH_BYTES
    split: str = "val"


BOARDS = {
    "cpu": Board(
        "cpu",
        "3 x 10^13 training FLOPs on the stories of `make toy`; time does not count, so any machine will do",
        train_flops=3e13,
        corpus=MakeCorpus(kind="stories", megabytes=9.0, seed=0),
        baseline_bits_per_byte=0.236,
    ),
    "gpu": Board(
        "gpu",
        "one hour of one H100 on a gigabyte of stories; at most what its peak of 989 TFLOP/s could do in that hour",
        train_flops=3600 * 989e12,
        corpus=MakeCorpus(kind="stories", megabytes=1000.0, seed=0),
        baseline_bits_per_byte=0.236,
        train_seconds=3600.0,
    ),
}


def board_named(name: str) -> Board:
    """The board. Raises: ConfigError: there is none of that name."""
    if name not in BOARDS:
        raise ConfigError(f"there is no board {name!r}; there are: {', '.join(BOARDS)}")
    return BOARDS[name]


@dataclass(frozen=True)
class Entry:
    """A checkpoint with all that it was made from."""

    checkpoint: Artifact
    trained: tuple[Artifact, ...]  # it and the checkpoints that it began from
    shards: Artifact
    tokenizer: Artifact
    corpus: Artifact


def entry_of(store: Store, checkpoint: Artifact) -> Entry:
    """The lineage of a checkpoint, every file of it verified.

    Raises:
        ArtifactError: something in it is missing or damaged, or an ancestor was trained on another corpus.
    """
    ancestors = [store.open(one.digest, one.kind) for one in store.lineage(checkpoint)]
    trained = (checkpoint, *(one for one in ancestors if one.kind == "Checkpoint"))
    found: dict[str, list[Artifact]] = {kind: [] for kind in ("Shards", "Tokenizer", "Corpus")}
    for one in ancestors:
        if one.kind in found:
            found[one.kind].append(one)
    for kind, members in found.items():
        if len(members) != 1:
            names = ", ".join(str(one) for one in members) or "none"
            raise refused(
                checkpoint, f"it descends from {len(members)} {kind} ({names}); an entry has exactly one"
            )
    return Entry(checkpoint, trained, found["Shards"][0], found["Tokenizer"][0], found["Corpus"][0])


def refused(artifact: Artifact, why: str) -> ArtifactError:
    """The one way in which an entry is turned away."""
    return ArtifactError(f"refused: {artifact}: {why}")


def measure(
    store: Store, checkpoint: Artifact, board: Board, parts: BasicsDoor, device: str = "auto"
) -> dict[str, Any]:
    """Everything a card says, from the checkpoint and its lineage alone.

    Raises:
        ArtifactError: it breaks a rule of the board; the message begins with "refused".
    """
    entry = entry_of(store, checkpoint)
    require_board_corpus(entry.corpus, board)
    require_same_text(entry)
    spent = budget(entry, board)
    config, (_, weights) = countable_shape(checkpoint), read_checkpoint(checkpoint)
    model = parts.build_model(config)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise refused(
            checkpoint, f"its weights do not fit the model of this implementation: {error}"
        ) from error
    model.to(pick_device(device)).eval()
    files = read_tokenizer(entry.tokenizer)
    token_bytes = files.token_bytes()
    tokenizer = parts.get_tokenizer(files.vocab, files.merges, [DOCUMENT_END])
    fresh_text = "".join(text + DOCUMENT_END for text, _ in stories(FRESH_SEED, board.fresh_bytes, "val"))
    end = files.end_of_text_id

    def bits_and_nats(ids: np.ndarray) -> tuple[float, float, int, int]:
        rows = np.concatenate([[end], ids])  # so that the first token is predicted too
        found = parts.evaluate_model(
            model, rows, token_bytes, config.context_length, stride=config.context_length // 2
        )
        return found.bits_per_byte, found.nats_per_token, found.tokens, found.num_bytes

    shards = read_shards(entry.shards)
    bits, nats, tokens, num_bytes = bits_and_nats(np.asarray(shards.tokens(board.split)))
    fresh_bits, *_ = bits_and_nats(np.array(tokenizer.encode(fresh_text)))
    require_not_learned_by_heart(checkpoint, bits, fresh_bits)
    return {
        "board": board.name,
        "checkpoint": checkpoint.digest,
        "shards": entry.shards.digest,
        "tokenizer": entry.tokenizer.digest,
        "corpus": entry.corpus.digest,
        **spent,
        "parameters": accounting.parameters(config).total,
        "bits_per_byte": bits,
        "nats_per_token": nats,
        "tokens": tokens,
        "bytes": num_bytes,
        "fresh_bits_per_byte": fresh_bits,
        "floor_bits_per_byte": read_corpus(entry.corpus).floor_bits_per_byte(board.split),
        "baseline_bits_per_byte": board.baseline_bits_per_byte,
    }


def budget(entry: Entry, board: Board) -> dict[str, Any]:
    """Tokens and FLOPs of all training in the lineage, from the settings that the checkpoints record.

    Raises:
        ArtifactError: more than the board allows, or in less time than any such machine could need.
    """
    tokens, flops, seconds = 0, 0.0, 0.0
    for one in entry.trained:
        job = job_of(one)
        config = countable_shape(one)
        if job.model != config:
            raise refused(one, "the shape in its settings is not the shape of its model")
        tokens += job.train_tokens
        flops += accounting.training_flops(job)
        seconds += float(one.origin.get("cost_seconds") or 0.0)
    if flops > board.train_flops:
        used = flops / board.train_flops
        raise refused(
            entry.checkpoint,
            f"{flops:.4g} training FLOPs are {used:.2f} times the {board.name} board's budget",
        )
    if seconds > board.train_seconds:
        raise refused(
            entry.checkpoint,
            f"trained for {seconds:.0f} s; the {board.name} board has {board.train_seconds:.0f}",
        )
    peak = board.train_flops / board.train_seconds if math.isfinite(board.train_seconds) else math.inf
    if flops > seconds * peak:
        raise refused(
            entry.checkpoint, f"{flops:.3g} FLOPs in {seconds:.3g} s are more than the machine can do"
        )
    return {"train_tokens": tokens, "train_flops": flops, "budget_fraction": flops / board.train_flops}


def countable_shape(checkpoint: Artifact) -> ModelConfig:
    """The model's shape. Raises: ArtifactError: one whose FLOPs nobody here counts."""
    shape = read_shape(checkpoint)
    if not isinstance(shape, ModelConfig):
        raise refused(checkpoint, f"a {type(shape).__name__}; budgets are counted for a ModelConfig only")
    return shape


def job_of(checkpoint: Artifact) -> TrainJob:
    """The settings that a checkpoint records. Raises: ArtifactError: it records none."""
    try:
        return from_dict(TrainJob, checkpoint.config)
    except ConfigError as error:
        raise refused(checkpoint, f"it does not record how it was trained ({error})") from error


def require_board_corpus(corpus: Artifact, board: Board) -> None:
    """Make the board's corpus anew and compare: its text cannot be told from a manifest.

    Raises:
        ArtifactError: it is another one.
    """
    with tempfile.TemporaryDirectory(prefix="board-") as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            make_corpus(replace(board.corpus, name="board", store=Path(folder)))
        wanted = Store(folder).open("board", "Corpus").digest
    if corpus.digest != wanted:
        raise refused(
            corpus, f"the {board.name} board's corpus is {wanted[:12]}; see the handout for how to make it"
        )


def require_same_text(entry: Entry) -> None:
    """The ids of every split spell the corpus's split, byte for byte: nothing added, nothing easier in its place.

    Raises:
        ArtifactError: they do not.
    """
    shards, corpus = read_shards(entry.shards), read_corpus(entry.corpus)
    vocab = read_tokenizer(entry.tokenizer).vocab
    if set(shards.splits) - set(corpus.splits):
        raise refused(entry.shards, f"it has splits that its corpus lacks: {', '.join(shards.splits)}")
    for split in ("train", "val"):
        ids = shards.tokens(split)
        with corpus.path(split).open("rb") as text:
            for start in range(0, len(ids), CHUNK):
                spelled = b"".join([vocab[int(index)] for index in ids[start : start + CHUNK]])
                if text.read(len(spelled)) != spelled:
                    raise refused(entry.shards, f"its split {split!r} does not spell that of {entry.corpus}")
            if text.read(1):
                raise refused(entry.shards, f"its split {split!r} ends before that of {entry.corpus}")


def require_not_learned_by_heart(checkpoint: Artifact, bits: float, fresh_bits: float) -> None:
    """Held-out text that was not trained on is as hard as fresh text of the same kind.

    Raises:
        ArtifactError: it is easier, or the loss is no number.
    """
    if not (math.isfinite(bits) and math.isfinite(fresh_bits)):
        raise refused(checkpoint, "its loss is not a finite number")
    if bits < fresh_bits * (1 - SLACK_OF_FRESH):
        raise refused(
            checkpoint,
            f"{bits:.4f} bits per byte on held-out text and {fresh_bits:.4f} on fresh text of the same kind: "
            "it was trained on what it is measured on",
        )


def compare(claimed: dict[str, Any], found: dict[str, Any], checkpoint: Artifact) -> None:
    """Hold a card against what was measured. Losses may differ as much as machines do: by one in a thousand.

    Raises:
        ArtifactError: the card claims something else; every such line is named.
    """
    wrong = []
    for name, value in found.items():
        said = claimed.get(name)
        same = said == value
        is_loss = name.endswith(("bits_per_byte", "nats_per_token"))
        if is_loss and isinstance(value, float) and isinstance(said, float):
            same = math.isclose(said, value, rel_tol=1e-3)
        if not same:
            wrong.append(f"{name} is {value}, the card says {said}")
    if wrong:
        raise refused(checkpoint, "; ".join(wrong))


def again(store: Store, checkpoint: Artifact, parts: BasicsDoor, impl: str) -> Artifact:
    """Train the entry again from its recorded settings, in a store of its own, and compare the weights.

    Raises:
        ArtifactError: other weights came out: the settings are not those it was trained with, or the machine rounds
            in another way.
    """
    job = job_of(checkpoint)
    if job.init:
        raise ConfigError(
            "an entry that began from a checkpoint is trained again from its first one on: do that by hand"
        )
    with tempfile.TemporaryDirectory(prefix="again-") as folder:
        other = Store(Path(folder) / "artifacts")
        archive = Path(folder) / "shards.tar"
        export_archive(store, store.open(checkpoint.parents["shards"], "Shards"), archive)
        import_archive(other, archive)
        fresh = replace(job, name="again", impl=impl, store=other.root, runs=Path(folder) / "runs")
        made = other.open(parts.train(fresh), "Checkpoint")
        wanted, found = (one.files["model.safetensors"]["sha256"] for one in (checkpoint, made))
        if wanted != found:
            raise refused(
                checkpoint,
                f"trained again from its settings it has other weights ({found[:12]} instead of {wanted[:12]}): they "
                "are not its settings, or this machine rounds in another way (then compare the losses of both)",
            )
    return checkpoint
