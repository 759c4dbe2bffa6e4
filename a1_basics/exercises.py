"""The problems of stage 1, in the order of HANDOUT.md: the one source of their metadata.

The problems themselves stand in `problems/`: code by topic, questions answered by a number in `numeric`, those that a
person reads in `written`.
"""

from a1_basics.problems import ladder, layers, model, numeric, tokenizers, training, written
from shared.doors.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    written.UNICODE1,
    written.UNICODE2,
    tokenizers.TRAIN_BPE,
    written.TRAIN_BPE_TINYSTORIES,
    written.TRAIN_BPE_EXPTS_OWT,
    tokenizers.TOKENIZER,
    tokenizers.CHARS,
    written.TOKENIZER_EXPERIMENTS_READ,
    layers.LINEAR,
    layers.EMBEDDING,
    layers.RMSNORM,
    layers.SOFTMAX,
    layers.SILU,
    layers.POSITIONWISE_FEEDFORWARD,
    layers.ROPE,
    model.SCALED_DOT_PRODUCT_ATTENTION,
    model.MULTIHEAD_SELF_ATTENTION,
    model.TRANSFORMER_BLOCK,
    model.TRANSFORMER_LM,
    numeric.TRANSFORMER_ACCOUNTING,
    training.CROSS_ENTROPY,
    written.LEARNING_RATE_TUNING,
    training.ADAMW,
    numeric.ADAMW_ACCOUNTING,
    training.LEARNING_RATE_SCHEDULE,
    training.GRADIENT_CLIPPING,
    training.GET_BATCH,
    training.CHECKPOINTING,
    model.BIGRAM,
    training.EVALUATE,
    training.TRAINING_TOGETHER,
    model.DECODING,
    ladder.AVERAGING,
    ladder.LAYERNORM,
    ladder.DROPOUT,
    ladder.GELU_FEEDFORWARD,
    ladder.GROUPED_QUERY_ATTENTION,
    ladder.QK_NORM,
    ladder.MUON,
    written.EXPERIMENT_LOG,
    written.LEARNING_RATE,
    written.BATCH_SIZE_EXPERIMENT,
    written.GENERATE,
    written.LAYER_NORM_ABLATION,
    written.PRE_NORM_ABLATION,
    written.NO_POS_EMB,
    written.SWIGLU_ABLATION,
    written.LOST_RUNS,
    written.MAIN_EXPERIMENT,
    written.LEADERBOARD,
)

HOOKS: dict[str, tuple[str, ...]] = {
    "train_split_bpe": ("train_bpe",),
    "build_tokenizer": ("tokenizer",),
    "build_model": (
        "linear",
        "embedding",
        "rmsnorm",
        "softmax",
        "silu",
        "positionwise_feedforward",
        "rope",
        "scaled_dot_product_attention",
        "multihead_self_attention",
        "transformer_block",
        "transformer_lm",
    ),
    "train": (
        "cross_entropy",
        "adamw",
        "learning_rate_schedule",
        "gradient_clipping",
        "get_batch",
        "checkpointing",
        "training_together",
    ),
}
"""Which problems must pass before a learner's own hook of the door is used instead of the reference's."""
