"""Parameters, FLOPs and bytes against published figures and against counting."""

import pytest

from shared import accounting
from shared.doors.protocols import ModelConfig, TrainJob

GPT2 = {
    "small": ModelConfig(50257, 1024, 768, 12, 12, 3072),
    "medium": ModelConfig(50257, 1024, 1024, 24, 16, 4096),
    "large": ModelConfig(50257, 1024, 1280, 36, 20, 5120),
    "xl": ModelConfig(50257, 1024, 1600, 48, 25, 6400),
}


@pytest.mark.parametrize(
    ("size", "teraflops", "shares"),
    [
        # Worked out by hand for the public handout's question: projections, scores, feed-forward, head (per cent).
        ("small", 0.350, (16.6, 11.1, 49.8, 22.6)),
        ("medium", 1.033, (20.0, 10.0, 59.9, 10.2)),
        ("large", 2.258, (21.4, 8.6, 64.2, 5.8)),
        ("xl", 4.513, (22.3, 7.1, 66.9, 3.6)),
    ],
)
def test_forward_flops_of_gpt2_shapes(size, teraflops, shares):
    flops = accounting.forward_flops(GPT2[size], seq=1024)
    assert round(flops.total / 1e12, 3) == teraflops
    parts = (flops.attention_projections, flops.attention_scores, flops.feed_forward, flops.head)
    assert tuple(round(100 * part / flops.total, 1) for part in parts) == shares


def test_scores_outgrow_everything_at_a_long_context():
    flops = accounting.forward_flops(GPT2["xl"], seq=16_384)
    assert round(flops.total / 1e12, 1) == 149.5
    assert round(flops.attention_scores / flops.total, 3) == 0.552


def test_training_flops_tend_to_6nd_when_tokens_are_few_for_the_width():
    config = ModelConfig(8, 32, 4096, 2, 32, 11008)
    exact = accounting.training_flops_per_token(config, seq=1)
    assert exact == pytest.approx(6 * accounting.parameters(config).total, rel=1e-3)


def test_fewer_key_heads_cost_less():
    full, grouped = GPT2["small"], ModelConfig(50257, 1024, 768, 12, 12, 3072, num_kv_heads=3)
    saved = accounting.parameters(full).attention - accounting.parameters(grouped).attention
    assert saved == 12 * 2 * 768 * (768 - 3 * 64)
    assert accounting.forward_flops(grouped, 8).total < accounting.forward_flops(full, 8).total


def test_tied_tables_are_counted_once():
    tied = ModelConfig(50257, 1024, 768, 12, 12, 3072, tied_embeddings=True)
    assert accounting.parameters(GPT2["small"]).total - accounting.parameters(tied).total == 50257 * 768
    assert accounting.training_bytes(tied) == 16 * accounting.parameters(tied).total


def test_training_of_gpt2_xl_on_paper():
    """Worked out by hand: weights 8.51 GB, the public handout's 6,584 days, and what fits into 80 GB."""
    xl = GPT2["xl"]
    assert round(accounting.training_bytes(xl) / 4e9, 2) == 8.51
    assert round(accounting.plain_activation_bytes(xl, 1, 1024) / 1e9, 2) == 18.03
    assert accounting.plain_activation_bytes(xl, 3, 1024) == 3 * accounting.plain_activation_bytes(
        xl, 1, 1024
    )
    assert accounting.largest_batch(xl, 1024, 80e9) == 2
    assert accounting.largest_batch(xl, 1024, 30e9) == 0
    assert accounting.adamw_step_flops(xl) == 16 * 2_127_057_600
    seconds = accounting.training_seconds(xl, 400_000, 1024, 1024, 19.5e12, 0.5)
    assert round(seconds / accounting.SECONDS_PER_DAY) == 6584


def test_plain_model_keeps_more_than_a_fused_one_by_its_score_matrices():
    config = GPT2["small"]
    longer = [accounting.plain_activation_bytes(config, 1, seq) / seq for seq in (512, 1024, 2048)]
    assert longer[2] - longer[1] == pytest.approx(
        2 * (longer[1] - longer[0])
    )  # per token: linear in the context
    assert longer[1] - longer[0] == 4 * 2 * config.num_layers * config.num_heads * 512


def test_a_job_trains_on_every_token_of_every_step():
    job = TrainJob(ModelConfig(11, 8, 16, 2, 2, 32), shards="s", steps=5, batch_size=6, microbatches=3)
    assert job.train_tokens == 5 * 6 * 8  # microbatches are the same sequences in pieces
    assert accounting.training_flops(job) == 5 * 6 * 3 * accounting.forward_flops(job.model, seq=8).total
