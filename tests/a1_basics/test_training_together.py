"""A whole training, from Shards to a published Checkpoint and its log, with the float64 model as judge.

Nothing here looks inside `train`.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.store.artifacts import Store
from shared.store.kinds import read_checkpoint, read_run_log
from tests.a1_basics.small_jobs import (
    MODEL,
    job_in,
    loss_nats,
    moved,
    noise,
    scheduled,
    trained,
    weights_of,
)
from tests.harness.explain import expect, expect_close, expect_equal


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
