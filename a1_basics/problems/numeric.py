"""The questions of stage 1 that have a number for an answer: what is asked, in which unit, how exactly.

Only metadata: the keys are computed in `tests/a1_basics/key_<problem>.py`.
"""

from shared.doors.exercise import Exercise, Question

PER_CENT = "per cent"
TOKENIZER = Question(
    "tokenizer", "The name of your Tokenizer artifact (`make artifacts`).", "a name in quotes", form="name"
)
CORPUS = Question("corpus", "The name of your Corpus artifact.", "a name in quotes", form="name")
LONGEST_TOKEN = Question(
    "longest_token_bytes", "The length of its longest token, special ones aside.", "bytes"
)

UNICODE2 = (
    Question("utf8_bytes", "How many bytes is `naïve 🙂` in UTF-8?", "bytes"),
    Question("utf16_bytes", "And in UTF-16, without a byte order mark?", "bytes"),
    Question("utf32_bytes", "And in UTF-32, without a byte order mark?", "bytes"),
    Question(
        "misread_bytes",
        "Some valid UTF-8 on which a decoder that takes each byte for a character of its own goes wrong.",
        'hexadecimal in quotes, such as "61 62"',
        form="bytes",
    ),
    Question(
        "never_valid_bytes",
        "Two bytes that no UTF-8 decoder may accept.",
        'hexadecimal in quotes, such as "61 62"',
        form="bytes",
    ),
)

TOKENIZER_EXPERIMENTS = (
    CORPUS,
    TOKENIZER,
    Question(
        "bytes_per_token",
        "Bytes of text per token over the first ten documents of the corpus's split `val`.",
        "bytes per token",
        tolerance_fraction=0.005,
    ),
    Question(
        "other_tokenizer",
        "The name of a Tokenizer that was trained on another text.",
        "a name in quotes",
        form="name",
    ),
    Question(
        "other_bytes_per_token",
        "The same ten documents, cut by that one.",
        "bytes per token",
        tolerance_fraction=0.005,
    ),
    Question(
        "megabytes_per_second",
        "How fast your encoder is: text encoded per second on one core, as you measured it.",
        "MB per second, of 10^6 bytes; as measured",
        tolerance_fraction=1.0,
    ),
    Question(
        "pile_hours",
        "At that speed, how long the 825 GB of the Pile would take on one core.",
        "hours",
        tolerance_fraction=0.01,
    ),
    Question("largest_uint16_vocab", "The largest vocabulary whose ids fit into uint16.", "tokens"),
)

_SHARE = "its share of the forward pass over 1,024 tokens"
_SHAPE = "{} layers of width {:,}, {} heads, d_ff {:,}"
_FAMILY = {
    "small": _SHAPE.format(12, 768, 12, 3072),
    "medium": _SHAPE.format(24, 1024, 16, 4096),
    "large": _SHAPE.format(36, 1280, 20, 5120),
}

TRANSFORMER_ACCOUNTING = Exercise(
    id="transformer_accounting",
    title="What a transformer costs",
    points=5,
    kind="numeric",
    deliverable="19 numbers in `answers.toml`",
    budget="an hour with paper; no computer needed",
    figures="computed from your model's shape",
    why=(
        "Whoever cannot say what a model will cost finds out by running out of memory, or of money. Six lines of "
        "arithmetic tell which part to make faster before anything is profiled."
    ),
    hints=(
        "List every matrix of one block with its two sizes: four projections in attention, three matrices in the "
        "gated feed-forward. Parameters are their areas; the two norms, the last norm, the embedding table and the "
        "head come besides.",
        "A product of (m, k) and (k, n) costs 2 m k n FLOPs. For T tokens a (d_in, d_out) matrix costs 2 T d_in "
        "d_out. Attention has two products without parameters: scores (T, d) with (d, T), and weights (T, T) with "
        "(T, d), summed over heads.",
        "The embedding is a look-up and costs nothing; the head is a matrix product and costs 2 T d vocab. A share "
        "is a part over the sum of the four parts: projections, scores and mixing, feed-forward, head.",
        "At a longer context everything grows by the ratio of lengths, but the two products of attention grow by "
        "its square. For GPT-2 XL check yourself: the four shares sum to 100.",
    ),
    questions=(
        Question("xl_parameters", "GPT-2 XL in our form: how many parameters?", "parameters"),
        Question("xl_gigabytes", "Their size in float32.", "GB, of 10^9 bytes", tolerance_fraction=0.005),
        Question(
            "xl_forward_teraflops",
            "One forward pass over 1,024 tokens: all matrix products.",
            "TFLOP, of 10^12",
            tolerance_fraction=0.005,
        ),
        Question(
            "xl_projections_percent", f"The four projections of attention: {_SHARE}.", PER_CENT, slack=0.15
        ),
        Question("xl_scores_percent", f"Scores and mixing of values: {_SHARE}.", PER_CENT, slack=0.15),
        Question("xl_feed_forward_percent", f"The feed-forward: {_SHARE}.", PER_CENT, slack=0.15),
        Question("xl_head_percent", f"The head: {_SHARE}.", PER_CENT, slack=0.15),
        *(
            question
            for size, shape in _FAMILY.items()
            for question in (
                Question(
                    f"{size}_forward_teraflops",
                    f"GPT-2 {size} ({shape}): the same forward pass.",
                    "TFLOP, of 10^12",
                    tolerance_fraction=0.005,
                ),
                Question(
                    f"{size}_feed_forward_percent", f"Its feed-forward: {_SHARE}.", PER_CENT, slack=0.15
                ),
                Question(f"{size}_head_percent", f"Its head: {_SHARE}.", PER_CENT, slack=0.15),
            )
        ),
        Question(
            "xl_long_forward_teraflops",
            "GPT-2 XL at a context of 16,384 tokens: one forward pass over all of them.",
            "TFLOP, of 10^12",
            tolerance_fraction=0.005,
        ),
        Question(
            "xl_long_growth",
            "How many times the cost of the pass over 1,024 tokens that is.",
            "times",
            tolerance_fraction=0.01,
        ),
        Question(
            "xl_long_scores_percent", "The share of scores and mixing of values in it.", PER_CENT, slack=0.15
        ),
    ),
)

ADAMW_ACCOUNTING = Exercise(
    id="adamw_accounting",
    title="What training costs",
    points=2,
    kind="numeric",
    deliverable="8 numbers in `answers.toml`",
    budget="an hour with paper; no computer needed",
    figures="computed from your model's shape",
    prerequisites=("transformer_accounting",),
    why=(
        "Training needs four times the weights before the first token, and then memory for each sequence of the "
        "batch. Knowing which of the two fills the card tells whether a smaller batch can help at all."
    ),
    hints=(
        "Peak memory = fixed + batch size x per sequence. Fixed: weights, one gradient for each, two moments for "
        "each. Per sequence: what the backward pass wants to see again.",
        "Go through the forward pass and write down the shape of every result in the list of the handout. Only two "
        "of them grow with the square of the context: they have a row of the context's length for every head.",
        "Count the operations in the five lines of AdamW in the handout, for one number. lr weight_decay and "
        "1 - beta^t are the same for all numbers, so they are known.",
        "A backward pass is twice a forward pass, so a step costs three of them for each sequence of the batch. "
        "Days = steps x FLOPs per step / (peak x utilisation) / 86,400.",
    ),
    questions=(
        Question("weights_gigabytes", "Weights of GPT-2 XL.", "GB, of 10^9 bytes", tolerance_fraction=0.005),
        Question("gradients_gigabytes", "Their gradients.", "GB, of 10^9 bytes", tolerance_fraction=0.005),
        Question("moments_gigabytes", "AdamW's state.", "GB, of 10^9 bytes", tolerance_fraction=0.005),
        Question(
            "activations_gigabytes",
            "What the backward pass needs of one sequence of 1,024 tokens (the list in the handout).",
            "GB, of 10^9 bytes",
            tolerance_fraction=0.01,
        ),
        Question("largest_batch", "The most sequences in 80 GB (80 x 10^9 bytes).", "sequences"),
        Question(
            "step_gigaflops",
            "One AdamW update of all parameters, forward and backward pass aside.",
            "GFLOP, of 10^9",
            tolerance_fraction=0.07,
        ),
        Question(
            "batch_petaflops",
            "Forward and backward pass of one batch of 1,024 sequences of 1,024 tokens.",
            "PFLOP, of 10^15",
            tolerance_fraction=0.01,
        ),
        Question(
            "training_days",
            "400,000 such steps on one A100: 19.5 TFLOP/s in float32, of which half are used.",
            "days",
            tolerance_fraction=0.01,
        ),
    ),
)
