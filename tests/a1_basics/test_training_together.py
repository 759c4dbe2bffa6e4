"""A whole training, from Shards to a published Checkpoint: read from the weights, with the float64 model as judge.

Nothing here looks inside `train`. Settings are chosen so that the weights tell what was done: with both betas at 0
Adam moves every number by the learning rate, so distances are sums of the schedule; with a huge eps it is plain
gradient descent, so distances are clipped gradients; rows of tokens that never occur feel the decay alone.
"""

import io
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.doors.protocols import ModelConfig, TrainJob
from shared.store.artifacts import Store
from shared.store.kinds import (
    ShardWriter,
    read_checkpoint,
    read_run_log,
    trained_tokenizer,
    write_corpus,
    write_tokenizer,
)
from tests.harness.explain import expect, expect_close, expect_equal
from tests.oracles.transformer import language_model

LETTERS, END = "abcdef", 6
MODEL = ModelConfig(vocab_size=7, context_length=12, d_model=24, num_layers=1, num_heads=2, d_ff=32)
# Weights of size 0.1 to 1 in float32 round by up to 6e-8 in each of at most 12 steps.
ROUNDING = 1e-6


def publish_shards(folder: Path, train, val) -> Path:
    """A store with the Shards "data": two splits of tokens below 6, each closed by the end-of-text id."""
    store = Store(folder / "artifacts")
    with store.draft("Corpus", config={}, parents={}) as corpus:
        write_corpus(corpus, {"train": ["".join(LETTERS[t] for t in train)]})
    vocab = {i: letter.encode() for i, letter in enumerate(LETTERS)} | {END: b"<|endoftext|>"}
    with store.draft("Tokenizer", config={}, parents={}) as tokenizer:
        write_tokenizer(tokenizer, trained_tokenizer(vocab, [], ["<|endoftext|>"], type="chars"))
    parents = {"corpus": corpus.artifact.digest, "tokenizer": tokenizer.artifact.digest}
    with (
        store.draft("Shards", config={}, parents=parents, name="data") as draft,
        ShardWriter(draft, MODEL.vocab_size, END) as writer,
    ):
        for split, tokens in (("train", train), ("val", val)):
            writer.write(split, [*tokens, END], num_bytes=len(tokens))
    return store.root


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 6, count)


def job_in(folder: Path, train=None, val=None, **settings) -> TrainJob:
    """A small job with data of its own in this folder."""
    train = noise(400) if train is None else train
    root = publish_shards(folder, train, noise(60, 1) if val is None else val)
    job = TrainJob(
        MODEL,
        "data",
        name="small",
        steps=4,
        batch_size=4,
        max_learning_rate=1e-3,
        min_learning_rate=1e-4,
        warmup_steps=1,
        precision="float32",
        device="cpu",
        evaluate_every_steps=100,
        evaluate_batches=1,
        checkpoint_every_steps=100,
        store=root,
        runs=folder / "runs",
    )
    return replace(job, **settings)


def weights_of(job: TrainJob, digest) -> dict[str, np.ndarray]:
    """The published weights in float64."""
    expect(
        isinstance(digest, str),
        what="train() returns the digest of the published Checkpoint, as text",
        why="the program that called it opens the artifact by that digest",
        counterexample=f"got {digest!r}",
    )
    _, weights = read_checkpoint(Store(job.store).open(digest, "Checkpoint"))
    return {name: tensor.double().numpy() for name, tensor in weights.items()}


def trained(adapters, folder: Path, train=None, val=None, **settings) -> dict[str, np.ndarray]:
    job = job_in(folder, train, val, **settings)
    return weights_of(job, adapters.train(job))


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> np.ndarray:
    """All weights laid end to end: after minus before."""
    return np.concatenate([(after[name] - before[name]).ravel() for name in sorted(before)])


def loss_nats(weights: dict[str, np.ndarray], tokens: np.ndarray) -> float:
    """Mean loss over windows of a whole context, by the float64 model."""
    length = MODEL.context_length
    windows = np.stack([tokens[i : i + length + 1] for i in range(0, len(tokens) - length, length)])
    logits = language_model(windows[:, :-1], weights, MODEL.num_layers, MODEL.num_heads, MODEL.rope_theta)
    logits = logits - logits.max(axis=-1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return float(-np.take_along_axis(log_p, windows[:, 1:, None], axis=-1).mean())


def test_publishes_a_checkpoint_and_its_log(adapters, tmp_path):
    job = job_in(tmp_path)
    here = set(Path().iterdir())
    digest = adapters.train(job)
    weights = weights_of(job, digest)
    store = Store(job.store)
    artifact = store.open(digest, "Checkpoint")
    why = "the next program finds the model by its name, builds it from its shape, and refuses other tokenizers' data"
    expect_equal(
        store.open("small", "Checkpoint").digest,
        digest,
        what="the Checkpoint is published under the name of the job",
        why=why,
    )
    expect_equal(
        read_checkpoint(artifact)[0],
        MODEL,
        what="the Checkpoint holds the shape that the job asked for",
        why=why,
    )
    shards = store.open("data", "Shards")
    expect_equal(
        {role: artifact.parents.get(role) for role in ("shards", "tokenizer")},
        {"shards": shards.digest, "tokenizer": shards.parents["tokenizer"]},
        what="its parents are the shards and the shards' tokenizer",
        why=why,
    )
    expect(
        math.isfinite(loss_nats(weights, noise(60, 1))) and bool(moved(weights, weights).size > 1000),
        what="the weights have the public names and work in a model of these conventions",
        why=why,
        counterexample=f"names: {sorted(weights)[:4]} ...",
    )
    log = store.open("small", "RunLog")
    expect_equal(
        log.parents.get("checkpoint"),
        digest,
        what="a RunLog of the same name is published, whose parent is the Checkpoint",
        why="`make runs` and the report draw the curve from it",
    )
    expect_equal(
        set(Path().iterdir()) - here,
        set(),
        what="nothing is written but below job.store and job.runs",
        why="a job may run anywhere, several side by side",
        case="files in the working directory",
    )


def test_learns_a_source_down_to_its_entropy(adapters, tmp_path):
    # The next token is two back, plus one, eight times in ten; else one of the other five, evenly.
    rng = np.random.default_rng(7)
    tokens = [0, 3]
    for _ in range(14_000):
        step = 1 if rng.random() < 0.8 else int(rng.choice([0, 2, 3, 4, 5]))
        tokens.append((tokens[-2] + step) % 6)
    train, val = np.array(tokens[:12_000]), np.array(tokens[12_000:])
    follows = (val[2:] - val[:-2]) % 6 == 1
    # What the source itself pays for these very tokens: no model that has learned nothing else does better.
    floor = float(-np.where(follows, math.log(0.8), math.log(0.04)).mean())
    job = job_in(
        tmp_path,
        train,
        val,
        steps=250,
        batch_size=24,
        max_learning_rate=2e-2,
        min_learning_rate=1e-3,
        warmup_steps=20,
        weight_decay=0.0,
    )
    got = loss_nats(weights_of(job, adapters.train(job)), val)
    # A window's first two tokens cannot be known: 2 of 12 cost ln 6 instead; the rest is what the model misses.
    unknown = 1 / MODEL.context_length * (math.log(6) - floor)
    expect(
        floor - 0.05 < got < floor + unknown + 0.06,
        what="250 steps bring a transformer of one layer down to the entropy of its source",
        why="whatever is wrong between batch and checkpoint (targets, mask, loss, gradients, optimizer, or weights of "
        "another moment) leaves a gap here",
        counterexample=f"loss on held-out text {got:.3f} nats per token; the source's entropy is {floor:.3f}, and "
        f"{floor + unknown:.3f} where the first token of a window is unknown; knowing only how often each token "
        f"comes costs {math.log(6):.3f}",
        case="x[t] = x[t-2] + 1 (of 6) with probability 0.8, else another token; 12,000 tokens, context 12",
    )


def scheduled(it: int, top: float, bottom: float, warmup: int, end: int) -> float:
    if it < warmup:
        return top * it / warmup
    part = min((it - warmup) / max(end - warmup, 1), 1.0)
    return bottom + (top - bottom) * math.cos(part * math.pi / 2) ** 2


@pytest.mark.parametrize(
    ("steps", "warmup", "top", "bottom"),
    [(6, 4, 1e-3, 1e-3), (5, 1, 2e-3, 1e-4), (3, 0, 1e-3, 2e-4)],
    ids=str,
)
def test_rate_follows_the_schedule(adapters, tmp_path, steps, warmup, top, bottom):
    settings = {"beta1": 0.0, "beta2": 0.0, "adam_eps": 1e-12, "weight_decay": 0.0, "steps": steps}
    data = np.zeros(3000, dtype=int)  # one letter: each step's gradient has the sign of the first one's
    still = trained(
        adapters, tmp_path / "still", data, max_learning_rate=0.0, min_learning_rate=0.0, **settings
    )
    after = trained(
        adapters,
        tmp_path / "moving",
        data,
        max_learning_rate=top,
        min_learning_rate=bottom,
        warmup_steps=warmup,
        **settings,
    )
    farthest = float(np.abs(moved(still, after)).max())
    # Counting steps from 0 or from 1 are both usual.
    sums = [sum(scheduled(k + first, top, bottom, warmup, steps) for k in range(steps)) for first in (0, 1)]
    nearest = min(sums, key=lambda total: abs(total - farthest))
    expect_close(
        farthest,
        nearest,
        what="each step is made with the rate of the schedule: warm-up, then half a cosine that ends with the job",
        why="a rate set once trains without warm-up and without cool-down: a few percent of the loss, and no error",
        atol=0.01 * top,
        case=f"betas 0, so that each step moves a number by the rate; {steps} steps, max {top:g}, min {bottom:g}, "
        f"warmup_steps {warmup}; shown is how far the farthest weight went",
    )


def descent(adapters, folder, clip_norm: float) -> np.ndarray:
    """What one step of plain gradient descent moves: a tenth of the clipped gradient."""
    eps = 1e4
    settings = {
        "beta1": 0.0,
        "beta2": 0.0,
        "adam_eps": eps,
        "weight_decay": 0.0,
        "steps": 1,
        "warmup_steps": 0,
    }
    still = trained(adapters, folder / "still", max_learning_rate=0.0, min_learning_rate=0.0, **settings)
    after = trained(
        adapters,
        folder / f"clip {clip_norm:g}",
        max_learning_rate=0.1 * eps,
        min_learning_rate=0.1 * eps,
        clip_norm=clip_norm,
        **settings,
    )
    return moved(still, after) / 0.1


def test_gradients_are_clipped_together(adapters, tmp_path):
    free = descent(adapters, tmp_path / "free", 1e6)
    norm = float(np.linalg.norm(free))
    bound = norm / 20
    clipped = descent(adapters, tmp_path / "tight", bound)
    why = "one strange batch may otherwise undo the work of hundreds"
    case = f"eps 1e4 makes Adam plain descent; gradient norm {norm:.3f}, clip_norm {bound:.4f}"
    expect_close(
        np.linalg.norm(clipped),
        bound,
        what="the gradients that reach the optimizer have at most the norm clip_norm",
        why=why,
        atol=0.0,
        rtol=2e-3,  # weights of size 1 hide the last digits of a step of 1e-4
        case=case,
    )
    expect_close(
        float(clipped @ free) / float(np.linalg.norm(clipped) * norm),
        1.0,
        what="clipping shortens the gradient of all weights together and keeps its direction",
        why=why,
        atol=1e-3,
        case=case + "; shown is the cosine between the clipped and the free step",
    )
    expect_close(
        descent(adapters, tmp_path / "loose", 2 * norm),
        free,
        what="a clip_norm above the gradient's norm changes nothing",
        why="scaled up to the bound, small gradients make large steps",
        atol=1e-4,
        case=f"gradient norm {norm:.3f}, clip_norm {2 * norm:.3f}",
    )


@pytest.mark.parametrize("weight_decay", [0.5, 0.0])
def test_matrices_decay(adapters, tmp_path, weight_decay):
    data = noise(400) % 5  # the letter f never comes: no gradient reaches its row
    settings = {"warmup_steps": 0, "steps": 3, "weight_decay": weight_decay}
    still = trained(
        adapters, tmp_path / "still", data, data, max_learning_rate=0.0, min_learning_rate=0.0, **settings
    )
    after = trained(
        adapters, tmp_path / "after", data, data, max_learning_rate=0.1, min_learning_rate=0.1, **settings
    )
    row = "token_embeddings.weight"
    expect_close(
        after[row][5],
        still[row][5] * (1 - 0.1 * weight_decay) ** 3,
        what="weights shrink by the rate times weight_decay at each step, and by nothing else where no gradient comes",
        why="decay keeps the weights in proportion to their gradients; forgotten or fixed, the job's setting is a "
        "dead letter",
        atol=ROUNDING * 10,
        case=f"embedding row of a token that never comes; rate 0.1, weight_decay {weight_decay}, 3 steps",
    )


CHANGES = {
    "seed": 1,
    "batch_size": 5,
    "max_learning_rate": 2e-3,
    "min_learning_rate": 5e-4,
    "warmup_steps": 2,
    "weight_decay": 0.9,
    "beta1": 0.5,
    "beta2": 0.5,
    "adam_eps": 1e-2,
    "clip_norm": 1e-4,
}


@pytest.mark.parametrize("setting", CHANGES)
def test_every_setting_counts(adapters, tmp_path, setting):
    base = {"adam_eps": 1e-4}  # so that the size of gradients, which clipping changes, is felt
    before = trained(adapters, tmp_path / "before", **base)
    after = trained(adapters, tmp_path / "after", **{**base, setting: CHANGES[setting]})
    expect(
        bool(np.abs(moved(before, after)).max() > 1e-6),
        what="another value of a setting gives another model",
        why="a setting that is not passed on looks, in the log, as if it had been tried",
        counterexample=f"{setting}={CHANGES[setting]} gave the same weights as the default",
        case="4 steps on noise",
    )


def test_a_job_decides_its_outcome(adapters, tmp_path):
    got = []
    for attempt in range(2):
        torch.manual_seed(100 + attempt)
        np.random.seed(100 + attempt)  # noqa: NPY002
        torch.rand(attempt)
        got.append(trained(adapters, tmp_path / str(attempt)))
    expect_close(
        moved(got[0], got[1]),
        np.zeros_like(moved(got[0], got[1])),
        what="the same job gives the same weights, whatever the global generators were doing",
        why="what cannot be repeated cannot be compared; initial weights and batches follow from job.seed",
        atol=ROUNDING,
        case="two runs in two stores, torch and numpy seeded differently before",
    )


class PowerCut(BaseException):
    """No exception that a program could handle: the machine is gone."""


class Machine:
    """Counts gradient computations, and can be cut off before one of them: what was on disk then is all that stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, job: TrainJob) -> None:
        self.monkeypatch, self.job, self.count = monkeypatch, job, 0
        self.cut_before: int | None = None
        for name in ("backward", "grad"):
            monkeypatch.setattr(torch.autograd, name, self._counted(getattr(torch.autograd, name)))

    def _counted(self, compute: Callable) -> Callable:
        def counting(*args, **kwargs):
            if self.count == self.cut_before:
                self.cut()
            self.count += 1
            return compute(*args, **kwargs)

        return counting

    def cut(self) -> None:
        shutil.copytree(self.job.store.parent, self._copy, symlinks=True)
        raise PowerCut

    @property
    def _copy(self) -> Path:
        return self.job.store.parent.with_name("as it was at the cut")

    def run(self, train: Callable, cut_before: int | None = None) -> tuple[object, int]:
        """Train to the end or to the cut; what came of it (None: cut) and the gradients computed."""
        self.count, self.cut_before = 0, cut_before
        try:
            result = train(self.job)
        except PowerCut:
            result = None
        if self._copy.exists():
            shutil.rmtree(self.job.store.parent)
            self._copy.rename(self.job.store.parent)
        return result, self.count


RESUMABLE = {"steps": 12, "checkpoint_every_steps": 4, "warmup_steps": 3, "max_learning_rate": 1e-2}


@pytest.mark.parametrize("cut_before", [2, 6, 11])
def test_a_killed_run_goes_on_where_it_was(adapters, tmp_path, monkeypatch, cut_before):
    whole = trained(adapters, tmp_path / "whole", **RESUMABLE)
    job = job_in(tmp_path / "cut", **RESUMABLE)
    machine = Machine(monkeypatch, job)
    result, _ = machine.run(adapters.train, cut_before)
    expect(
        result is None,
        what="a step computes its gradients through torch's autograd, one backward pass a step",
        why="that is where this test pulls the plug",
        counterexample=f"the job of 12 steps ended with fewer than {cut_before + 1} backward passes",
    )
    result, count = machine.run(adapters.train)
    saved = cut_before // 4 * 4
    case = f"12 steps, a checkpoint every 4, the power cut in step {cut_before + 1}; then train(job) again"
    expect_close(
        moved(whole, weights_of(job, result)),
        np.zeros_like(moved(whole, whole)),
        what="a run that was killed and started again ends with the weights of one that was left alone",
        why="averages that begin anew, batches that come twice or a schedule that warms up again change the result, "
        "and the curve shows a small bump at most",
        atol=ROUNDING,
        case=case,
    )
    expect(
        count <= 12 - saved,
        what="it goes on from the last checkpoint",
        why="a run that begins anew after each interruption never ends where machines are lent for hours",
        counterexample=f"{count} steps were made after the restart; with the checkpoint of step {saved} "
        f"{12 - saved} are left",
        case=case,
    )


def test_a_save_cut_short_does_no_harm(adapters, tmp_path, monkeypatch):
    whole = trained(adapters, tmp_path / "whole", **RESUMABLE)
    job = job_in(tmp_path / "cut", **RESUMABLE)
    machine, saves, save = Machine(monkeypatch, job), [], torch.save

    def torn(content, target, *args, **kwargs):
        saves.append(1)
        if len(saves) != 2:
            return save(content, target, *args, **kwargs)
        buffer = io.BytesIO()
        save(content, buffer, *args, **kwargs)
        half = buffer.getvalue()[: len(buffer.getvalue()) // 2]
        if hasattr(target, "write"):
            target.write(half)
            target.flush()
        else:
            Path(target).write_bytes(half)
        return machine.cut()

    monkeypatch.setattr(torch, "save", torn)
    machine.run(adapters.train)
    try:
        result, count = machine.run(adapters.train)
    except Exception as error:
        result, count = error, 0
    case = "12 steps, a checkpoint every 4; the power cut when the second torch.save had written half; train(job) again"
    expect(
        isinstance(result, str),
        what="half a checkpoint is passed over",
        why="power fails, and disks fill, while a checkpoint is written; whoever writes over the last good one has "
        "none then",
        counterexample=f"train(job) ended with {result!r}",
        case=case,
    )
    expect_close(
        moved(whole, weights_of(job, result)),
        np.zeros_like(moved(whole, whole)),
        what="the run goes on from a whole checkpoint and ends as if nothing had happened",
        why="write beside, then rename: a name then points to all of the old file or all of the new",
        atol=ROUNDING,
        case=case,
    )
    expect(
        count <= 8,
        what="the checkpoint before the torn one is still there",
        why="write beside, then rename: the old file stays until the new one is whole",
        counterexample=f"{count} steps were made after the restart; from the checkpoint of step 4 it takes 8",
        case=case,
    )


@pytest.mark.parametrize("change", [{"seed": 5}, {"steps": 8}, {"max_learning_rate": 1e-3}], ids=str)
def test_another_job_does_not_go_on_from_this_one(adapters, tmp_path, change):
    job = job_in(tmp_path / "shared", **RESUMABLE)
    adapters.train(job)
    other = replace(job, **change)
    got = weights_of(other, adapters.train(other))
    want = trained(adapters, tmp_path / "alone", **{**RESUMABLE, **change})
    expect_close(
        moved(want, got),
        np.zeros_like(moved(want, want)),
        what="a job with other settings is another run, though it has the same name",
        why="a run folder that is found by name alone goes on from the other job's weights, or says that all is "
        "done; the comparison of two settings then compares one with itself",
        atol=ROUNDING,
        case=f"one job to its end, then the same with {change}, same name, same runs folder",
    )


def test_a_finished_job_gives_its_checkpoint_again(adapters, tmp_path):
    job = job_in(tmp_path)
    first = adapters.train(job)
    expect_equal(
        adapters.train(job),
        first,
        what="a job that is done gives the same digest when it is asked for again",
        why="pipelines run the same command again and expect nothing to change",
    )


def test_held_out_text_is_not_trained_on(adapters, tmp_path):
    train, val = noise(300) % 5, np.full(300, 5)  # the letter f comes in the val split alone
    settings = {"weight_decay": 0.0, "evaluate_every_steps": 1}
    still = trained(
        adapters, tmp_path / "still", train, val, max_learning_rate=0.0, min_learning_rate=0.0, **settings
    )
    after = trained(adapters, tmp_path / "after", train, val, **settings)
    row = "token_embeddings.weight"
    expect_close(
        after[row][5],
        still[row][5],
        what="nothing is learned from the val split",
        why="a loss on text that was trained on says nothing about any other text",
        atol=0.0,
        case="embedding row of a token that comes in the val split only, no decay, an evaluation at each step",
    )


def test_the_log_tells_the_curve(adapters, tmp_path):
    train, val = noise(300) % 5, np.full(20_000, 3)
    settings = {"evaluate_every_steps": 2, "steps": 6, "warmup_steps": 2, "max_learning_rate": 2e-2}
    job = job_in(tmp_path, train, val, **settings)
    weights = weights_of(job, adapters.train(job))
    _, records = read_run_log(Store(job.store).open("small", "RunLog"))
    losses = [record for record in records if "loss_nats" in record]
    why = "a run without its curve cannot be compared, and its faults cannot be seen"
    expect(
        bool(losses) and all(isinstance(record.get("step"), int) for record in records),
        what="the RunLog has records with step and loss_nats",
        why=why,
        counterexample=f"got {records[:2]}",
    )
    for record in losses:
        step = record["step"]
        rates = [scheduled(step - back, 2e-2, job.min_learning_rate, 2, 6) for back in (0, 1)]
        expect(
            "learning_rate" in record and min(abs(record["learning_rate"] - rate) for rate in rates) < 1e-9,
            what="each record of a loss tells the learning rate of its step",
            why=why,
            counterexample=f"step {step}: got {record.get('learning_rate')}, wanted {rates[0]:.6g} or {rates[1]:.6g}",
        )
    evaluations = [record for record in records if "validation_loss_nats" in record]
    expect_equal(
        evaluations[-1]["step"] if evaluations else None,
        6,
        what="the val split is evaluated after the last step (validation_loss_nats)",
        why="that is the number by which runs are compared",
    )
    expect_close(
        evaluations[-1]["validation_loss_nats"],
        loss_nats(weights, val[:200]),
        what="validation_loss_nats is the mean loss of the published weights on the val split, per token",
        why="a sum, a mean over batches of unequal size, the training split or dropout left on give another number",
        atol=1e-3,  # the one end-of-text mark among 20,000 letters, if it is counted
        case="val split of one letter: every position has the same loss",
    )


@pytest.mark.parametrize("asked", ["microbatches", "init"])
def test_what_a_job_asks_for_is_done_or_refused(adapters, tmp_path, asked):
    job = job_in(tmp_path, batch_size=6)
    first = adapters.train(job)
    if asked == "microbatches":
        other, want = replace(job, microbatches=3), weights_of(job, first)
    else:
        level = {"max_learning_rate": 0.0, "min_learning_rate": 0.0, "seed": 9}
        other, want = replace(job, init=first, name="further", **level), weights_of(job, first)
    try:
        digest = adapters.train(other)
    except Exception:
        return  # said aloud: the settings that came later need not be known
    expect_close(
        moved(want, weights_of(other, digest)),
        np.zeros_like(moved(want, want)),
        what="microbatches cut a batch without changing its gradient; init is where the weights start. A train() "
        "that knows neither raises an error",
        why="a setting that is passed over in silence looks as if it had been used",
        atol=2e-4,  # a mean of means sums in another order, and Adam divides small gradients by themselves
        case="microbatches=3 against 1" if asked == "microbatches" else "init=<a checkpoint>, rate 0",
    )
