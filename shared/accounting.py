"""Parameters, FLOPs and bytes of a transformer: the one place where they are computed.

A FLOP is one multiply or one add, so a product of (m, k) and (k, n) matrices costs 2mkn. Element-wise work, norms and
softmax are left out: together they are below one per cent of a model worth training.
"""

from dataclasses import dataclass

from shared.costs import Work
from shared.doors.protocols import ModelConfig, TrainJob

BYTES_PER_FLOAT32 = 4
BYTES_PER_BFLOAT16 = 2
BYTES_PER_TOKEN_ID = 8  # torch indexes with int64
SECONDS_PER_DAY = 86_400
ADAMW_FLOPS_PER_PARAMETER = 16
"""Two running means 3 + 4, two corrections 2, decay 2, update 5 (root, sum, quotient, product, difference)."""


@dataclass(frozen=True)
class Parameters:
    """How many numbers each part of the model learns."""

    embedding: int
    attention: int
    feed_forward: int
    norms: int
    head: int  # 0 when the output projection is the embedding table

    @property
    def total(self) -> int:
        return self.embedding + self.attention + self.feed_forward + self.norms + self.head

    @property
    def non_embedding(self) -> int:
        """Everything but the two tables whose size is set by the vocabulary: what scaling laws call N."""
        return self.attention + self.feed_forward + self.norms


def parameters(config: ModelConfig) -> Parameters:
    """Parameters by part.

    >>> parameters(ModelConfig(vocab_size=50257, context_length=1024, d_model=1600, num_layers=48, num_heads=25,
    ...                        d_ff=6400)).total
    2127057600
    """
    head_dim = config.width_per_head
    q_width, kv_width = config.num_heads * head_dim, (config.num_kv_heads or config.num_heads) * head_dim
    attention = 2 * config.d_model * q_width + 2 * config.d_model * kv_width
    attention += (q_width + 2 * kv_width) if config.qkv_bias else 0
    norms = 2 * config.d_model + (2 * head_dim if config.qk_norm else 0)
    table = config.vocab_size * config.d_model
    return Parameters(
        embedding=table,
        attention=config.num_layers * attention,
        feed_forward=config.num_layers * 3 * config.d_model * config.d_ff,
        norms=config.num_layers * norms + config.d_model,
        head=0 if config.tied_embeddings else table,
    )


@dataclass(frozen=True)
class ForwardFlops:
    """FLOPs of one forward pass over one sequence, by kind of matrix product."""

    attention_projections: int
    attention_scores: int
    feed_forward: int
    head: int

    @property
    def total(self) -> int:
        return self.attention_projections + self.attention_scores + self.feed_forward + self.head


def forward_flops(config: ModelConfig, seq: int) -> ForwardFlops:
    """FLOPs of a forward pass over `seq` tokens, the full score matrix counted (causal kernels do half of it).

    >>> gpt2_xl = ModelConfig(50257, context_length=1024, d_model=1600, num_layers=48, num_heads=25, d_ff=6400)
    >>> round(forward_flops(gpt2_xl, seq=1024).total / 1e12, 3)
    4.513
    """
    count = parameters(config)
    q_width = config.num_heads * config.width_per_head
    kv_width = (config.num_kv_heads or config.num_heads) * config.width_per_head
    projections = config.num_layers * 2 * config.d_model * (q_width + kv_width)
    return ForwardFlops(
        attention_projections=2 * seq * projections,
        attention_scores=config.num_layers * 4 * seq * seq * q_width,
        feed_forward=2 * seq * count.feed_forward,
        head=2 * seq * config.vocab_size * config.d_model,
    )


def training_flops_per_token(config: ModelConfig, seq: int) -> float:
    """Forward and backward FLOPs for each trained token: the backward pass costs twice the forward one."""
    return 3 * forward_flops(config, seq).total / seq


def training_flops(job: TrainJob) -> float:
    """Forward and backward FLOPs of all steps of a job."""
    return job.train_tokens * training_flops_per_token(job.model, job.model.context_length)


def evaluation_flops(job: TrainJob) -> float:
    """Forward FLOPs of the held-out batches that a job looks at along its way and at its end."""
    every = job.evaluate_every_steps or job.steps
    times = -(-job.steps // max(every, 1))
    tokens = times * job.evaluate_batches * job.batch_size * job.model.context_length
    return tokens * training_flops_per_token(job.model, job.model.context_length) / 3


def training_work(job: TrainJob) -> Work:
    """What a job computes and holds, for an estimate of its cost: activations as in float32, of one microbatch."""
    piece = max(job.batch_size // job.microbatches, 1)
    return Work(
        memory_bytes=training_bytes(job.model) + activation_bytes(job.model, piece, job.model.context_length),
        flops=training_flops(job) + evaluation_flops(job),
        steps=job.steps,
        microbatches=job.microbatches,
        width=job.model.d_model,
        num_layers=job.model.num_layers,
        precision=job.precision,
    )


def training_flops_6nd(num_parameters: int, num_tokens: int) -> int:
    """The rule of thumb `6 N D`: two FLOPs per parameter and token forwards, four backwards.

    Source: [kaplan-2020] section 2.1.
    """
    return 6 * num_parameters * num_tokens


def training_bytes(config: ModelConfig) -> int:
    """Bytes of weights, gradients and AdamW's two moments in float32: all but the activations."""
    return 4 * BYTES_PER_FLOAT32 * parameters(config).total


def shared_training_bytes(config: ModelConfig, strategy: str, ranks: int) -> float:
    """Of `training_bytes` what each of several data-parallel ranks holds.

    Copies hold all, with `zero1` the moments are shared out, with `fsdp` everything.
    """
    weights = BYTES_PER_FLOAT32 * parameters(config).total
    copied = {"zero1": 2, "fsdp": 0}.get(strategy, 4)
    return weights * (copied + (4 - copied) / ranks)


def activation_bytes(config: ModelConfig, batch_size: int, seq: int, bytes_per_element: int = 4) -> int:
    """Bytes kept for the backward pass with a fused attention kernel: an estimate, not a bound.

    Per layer and token: two norm inputs and outputs, queries, keys, values, attention's result, and the feed-forward's
    gate, up-projection, activation and product; then the logits and their gradient.
    """
    per_token = config.num_layers * (10 * config.d_model + 4 * config.d_ff) + 3 * config.vocab_size
    return batch_size * seq * per_token * bytes_per_element


def adamw_step_flops(config: ModelConfig) -> int:
    """FLOPs of one AdamW update, roots and quotients counted as one each.

    Source: [adamw-2019] algorithm 2, with `lr * weight_decay` and the two corrections as known numbers.
    """
    return ADAMW_FLOPS_PER_PARAMETER * parameters(config).total


def plain_activation_bytes(config: ModelConfig, batch_size: int, seq: int, bytes_per_element: int = 4) -> int:
    """Bytes kept for the backward pass by the plain model, which writes the score matrices out.

    Per layer and token: the outputs of two norms, queries, keys, values, attention's result, its output projection and
    the feed-forward's output (8 d_model); scores and their softmax (2 heads seq); gate, up-projection, activation and
    product (4 d_ff). Then the last norm, the logits and their log-probabilities.

    >>> xl = ModelConfig(50257, context_length=1024, d_model=1600, num_layers=48, num_heads=25, d_ff=6400)
    >>> round(plain_activation_bytes(xl, batch_size=1, seq=1024) / 1e9, 2)
    18.03
    """
    per_layer = 8 * config.d_model + 2 * config.num_heads * seq + 4 * config.d_ff
    per_token = config.num_layers * per_layer + config.d_model + 2 * config.vocab_size
    return batch_size * seq * per_token * bytes_per_element


def largest_batch(config: ModelConfig, seq: int, memory_bytes: float) -> int:
    """Sequences of the plain model that fit beside weights, gradients and AdamW's moments; 0 when none does."""
    left = memory_bytes - training_bytes(config)
    return max(0, int(left // plain_activation_bytes(config, 1, seq)))


def training_seconds(
    config: ModelConfig,
    steps: int,
    batch_size: int,
    seq: int,
    peak_flops_per_second: float,
    mfu_fraction: float,
) -> float:
    """Time for a number of steps at a fraction of a device's peak; the optimizer's own work is left out."""
    flops = steps * batch_size * seq * training_flops_per_token(config, seq)
    return flops / (peak_flops_per_second * mfu_fraction)


def residual_stream_bytes(config: ModelConfig, batch_size: int, seq: int, bytes_per_element: int = 4) -> int:
    """Bytes of the features between two blocks: what a checkpointed block keeps instead of its inside.

    >>> xl = ModelConfig(10_000, context_length=2048, d_model=2560, num_layers=32, num_heads=32, d_ff=10_240)
    >>> [residual_stream_bytes(xl, 4, seq) // 2**20 for seq in (128, 512, 2048)]
    [5, 20, 80]
    """
    return batch_size * seq * config.d_model * bytes_per_element


def block_kept_bytes(config: ModelConfig, batch_size: int, seq: int) -> int:
    """Bytes that one block of ours keeps for its backward pass, in float32 with a fused attention kernel: exact.

    Per token, both norms keep what they normalised, its scale and their result (4 d_model + 2); attention keeps
    queries, keys, values, its result and a log-sum-exp for each head; the feed-forward its gate, the activated gate,
    the up-projection and their product (4 d_ff). RoPE keeps its complex factors, twice, once for all sequences. What
    entered the block is not kept: no operation needs it again. Grouped keys and values are kept repeated.
    """
    q_width = config.num_heads * config.width_per_head
    per_token = 4 * config.d_model + 2 + 4 * q_width + config.num_heads + 4 * config.d_ff
    return BYTES_PER_FLOAT32 * (batch_size * seq * per_token + 2 * seq * config.width_per_head)


def ends_kept_bytes(config: ModelConfig, batch_size: int, seq: int) -> int:
    """Bytes kept beside the blocks: token ids and targets, the last norm, log-probabilities and the loss's weight."""
    per_token = BYTES_PER_FLOAT32 * (2 * config.d_model + 1 + config.vocab_size) + 2 * BYTES_PER_TOKEN_ID
    return batch_size * seq * per_token + BYTES_PER_FLOAT32


def autocast_kept_bytes(config: ModelConfig, batch_size: int, seq: int) -> int:
    """Bytes that our model keeps for its backward pass with products in bfloat16 under autocast: exact.

    Half of what float32 keeps where a product made it: queries, keys, values, attention's result and the feed-forward's
    four (4 q_width + 4 d_ff). The stream and the norms' scales stay float32, as do log-sum-exps, RoPE's factors and
    log-probabilities. What a norm made is kept in bfloat16 for every matrix that reads it, three times in attention
    and twice in the feed-forward; and every matrix, the head among them, has a copy in bfloat16, which is kept too.
    """
    q_width = config.num_heads * config.width_per_head
    wide = BYTES_PER_FLOAT32 * (2 * config.d_model + 2 + config.num_heads)
    narrow = BYTES_PER_BFLOAT16 * (5 * config.d_model + 4 * q_width + 4 * config.d_ff)
    block = batch_size * seq * (wide + narrow) + BYTES_PER_FLOAT32 * 2 * seq * config.width_per_head
    count = parameters(config)
    matrices = count.attention + count.feed_forward + config.vocab_size * config.d_model
    read_by_head = (BYTES_PER_FLOAT32 - BYTES_PER_BFLOAT16) * batch_size * seq * config.d_model
    ends = ends_kept_bytes(config, batch_size, seq) - read_by_head
    return config.num_layers * block + ends + BYTES_PER_BFLOAT16 * matrices


def autocast_step_bytes(config: ModelConfig, batch_size: int, seq: int) -> int:
    """The same early in the backward pass: with the logits as the head made them and, in float32, two gradients.

    The gradient of the log-probabilities, and that of the logits made of it.
    """
    logits = batch_size * seq * config.vocab_size
    kept = autocast_kept_bytes(config, batch_size, seq)
    return kept + (BYTES_PER_BFLOAT16 + 2 * BYTES_PER_FLOAT32) * logits


def grouped_checkpoints_bytes(num_blocks: int, group: int, input_bytes: int, block_bytes: int) -> int:
    """The most kept at once with each `group` neighbouring blocks in a checkpoint: all inputs, and one group's inside.

    The group whose inside is back is the last one, or the one before when the last is smaller.
    """
    full, left = divmod(num_blocks, group)
    last = (full + 1) * input_bytes + left * block_bytes if left else 0
    return max(full * input_bytes + group * block_bytes if full else 0, last)
