"""Training that goes on from other weights, and batches in pieces."""

import dataclasses
import shutil
import sys

import numpy as np
import pytest
import torch

from a1_basics import adapters
from a1_basics.training.adamw import AdamW
from a1_basics.training.evaluate import evaluate
from a1_basics.training.loop import fresh_model
from a1_basics.training.step import TrainState, language_model_step, parameter_groups
from shared.doors.protocols import ModelConfig, TrainJob
from shared.errors import ArtifactError, ConfigError
from shared.runs import publish
from shared.runs.runlog import VALIDATION_LOSS
from shared.store.artifacts import Store
from shared.store.kinds import read_checkpoint, read_run_log, read_shards, write_checkpoint
from tests.units.a1_basics.byte_shards import save_byte_shards

MODEL = ModelConfig(vocab_size=257, context_length=8, d_model=16, num_layers=1, num_heads=2, d_ff=32)


@pytest.fixture
def job(tmp_path):
    store = Store(tmp_path / "artifacts")
    save_byte_shards(store, "first", b"abcdefgh" * 20)
    save_byte_shards(store, "second", b"hgfedcba" * 20)
    save_byte_shards(store, "foreign", b"hgfedcba" * 20, pattern="llama3")
    return TrainJob(
        MODEL,
        "first",
        name="one",
        steps=6,
        batch_size=4,
        warmup_steps=1,
        max_learning_rate=1e-2,
        precision="float32",
        device="cpu",
        evaluate_batches=1,
        store=store.root,
        runs=tmp_path / "runs",
    )


def test_a_run_goes_on_from_a_checkpoint_on_another_corpus(job):
    store = Store(job.store)
    first = adapters.train(job)
    further = dataclasses.replace(job, shards="second", init="one", name="two")
    second = store.open(adapters.train(further), "Checkpoint")
    assert second.parents["init"] == first
    assert {artifact.digest for artifact in store.lineage(second)} >= {first, second.parents["shards"]}
    # Nothing is learned with a rate of zero: what comes out is what went in, not fresh weights.
    still = dataclasses.replace(further, max_learning_rate=0.0, min_learning_rate=0.0, name="still")
    _, weights = read_checkpoint(store.open(adapters.train(still), "Checkpoint"))
    _, initial = read_checkpoint(store.open(first, "Checkpoint"))
    assert all(torch.equal(weights[name], initial[name]) for name in initial)
    _, from_fresh = read_run_log(store.open("one", "RunLog"))
    _, from_first = read_run_log(store.open("two", "RunLog"))
    assert from_first[0]["loss_nats"] < from_fresh[0]["loss_nats"]  # letters stay letters in any order


def test_stopped_between_its_two_artifacts_the_same_command_publishes_both(job, monkeypatch):
    whole = adapters.train(job)
    store, there = Store(job.store), dataclasses.replace(job, store=job.store.parent / "other")
    shutil.copytree(store.root, there.store)
    for pointer in (there.store / "names").glob("*/one.json"):
        pointer.unlink()
    shutil.rmtree(there.store / "keys")
    with monkeypatch.context() as patch:
        patch.setattr(publish, "write_run_log", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit, match="killed"):
            adapters.train(there)
    assert adapters.train(there) == whole
    assert Store(there.store).open("one", "RunLog").digest == store.open("one", "RunLog").digest
    assert Store(there.store).open("one", "Checkpoint").digest == whole


def test_a_finished_run_under_another_name_has_its_log_too(job):
    adapters.train(job)
    adapters.train(dataclasses.replace(job, name="again"))
    store = Store(job.store)
    for kind in ("Checkpoint", "RunLog"):
        assert store.open("again", kind).digest == store.open("one", kind).digest


def test_another_initial_checkpoint_is_another_run(job):
    adapters.train(job)
    further = dataclasses.replace(job, shards="second", name="two")
    assert adapters.train(further) != adapters.train(dataclasses.replace(further, init="one"))


def test_a_checkpoint_of_another_tokenizer_or_shape_is_refused(job):
    adapters.train(job)
    with pytest.raises(ArtifactError, match="Encode the corpus again"):
        adapters.train(dataclasses.replace(job, shards="foreign", init="one"))
    wider = dataclasses.replace(MODEL, d_model=32, num_heads=4)
    with pytest.raises(
        ConfigError, match=r"d_model: 16 there, 32 here.*--model.d-model 16 --model.num-heads 2"
    ):
        adapters.train(dataclasses.replace(job, model=wider, init="one"))


@pytest.mark.parametrize("count", [2, 4])
def test_microbatches_add_up_to_the_batch(count):
    job = TrainJob(MODEL, "none", batch_size=4, warmup_steps=0, precision="float32", device="cpu")

    def trained(pieces: int) -> tuple[list[float], list[torch.Tensor]]:
        settings = dataclasses.replace(job, microbatches=pieces)
        model = fresh_model(settings, adapters.build_model)
        optimizer = AdamW(parameter_groups(model, 0.1), lr=1e-3)
        step = language_model_step(adapters, settings, None, torch.float32)  # type: ignore[arg-type]
        state, losses = TrainState(model, optimizer), []
        for number in range(3):
            ids = np.random.default_rng(number).integers(0, 257, (4, 9))
            state, metrics = step(state, (torch.tensor(ids[:, :-1]), torch.tensor(ids[:, 1:])))
            losses.append(metrics["loss_nats"])
        return losses, [parameter.detach() for parameter in model.parameters()]

    whole_losses, whole = trained(1)
    losses, pieces = trained(count)
    assert losses == pytest.approx(whole_losses, rel=1e-5)  # float32 sums in another order
    for one, other in zip(whole, pieces, strict=True):
        # Adam divides by the root of the second moment: where a gradient is nearly 0, rounding shows at the rate's size
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_a_batch_that_cannot_be_cut_is_refused(job):
    with pytest.raises(ConfigError, match="4 sequences cannot be cut into 3"):
        adapters.train(dataclasses.replace(job, microbatches=3))


def test_the_plan_and_the_end_tell_of_the_target(job, capsys):
    from a1_basics.run import train_lm

    train_lm.main(dataclasses.replace(job, target_loss_nats=99.0))
    assert "target 99.0 reached" in capsys.readouterr().out
    train_lm.main(dataclasses.replace(job, target_loss_nats=0.001))
    assert "target 0.001 missed" in capsys.readouterr().out
    whole, cut = (
        train_lm.plan(dataclasses.replace(job, microbatches=pieces))["activation_bytes"] for pieces in (1, 4)
    )
    assert whole == 4 * cut


def test_weights_alone_make_a_checkpoint_to_go_on_from(job):
    """An imported model has no training record; its weights and tokenizer are all that is asked for."""
    store = Store(job.store)
    model = fresh_model(dataclasses.replace(job, seed=7), adapters.build_model)
    tokenizer = store.open("first", "Shards").parents["tokenizer"]
    with store.draft("Checkpoint", config={}, parents={"tokenizer": tokenizer}, name="foreign") as draft:
        write_checkpoint(draft, MODEL, model.state_dict())
    digest = adapters.train(dataclasses.replace(job, init="foreign"))
    assert store.open(digest, "Checkpoint").parents["init"] == draft.artifact.digest


FORGETFUL = """
def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return 0 * Q  # attends to nothing: with it a model is blind to all but the last token
"""


def test_validation_uses_the_attention_that_was_trained(job, tmp_path):
    own = tmp_path / "adapters.py"
    own.write_text(FORGETFUL, encoding="utf-8")
    adapters.train(dataclasses.replace(job, impl=str(own)))
    store = Store(job.store)
    _, weights = read_checkpoint(store.open("one", "Checkpoint"))
    shards = read_shards(store.open("first", "Shards"))
    model = adapters.build_model(MODEL)
    model.load_state_dict(weights)
    tokens, token_bytes = shards.tokens("val"), np.ones(MODEL.vocab_size, dtype=np.int64)

    def loss(attend):
        window = MODEL.context_length
        return evaluate(model, tokens, token_bytes, window, 4, max_batches=1, attend=attend).nats_per_token

    _, records = read_run_log(store.open("one", "RunLog"))
    logged = [record[VALIDATION_LOSS] for record in records if VALIDATION_LOSS in record][-1]
    assert logged == loss(lambda layer, q, k, v: 0 * q) != loss(None)
