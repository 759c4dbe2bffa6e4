"""The code problems of the ladder: the rungs that the model itself does not stand on, from an average to Muon.

Hints climb from a nudge to nearly the solution; the last rung names the traps.
"""

from a1_basics.problems.layers import LINEAR_LAYERS
from a1_basics.problems.model import ATTENTION
from shared.doors.exercise import Exercise

AVERAGING = Exercise(
    id="averaging",
    title="The mean of the past",
    points=1,
    door=("run_causal_average",),
    budget="2 lines; no training",
    why=(
        "Attention is a mean of the past with learned weights. Whoever can write the mean with equal weights, without "
        "a look at the future, has the frame into which attention is put."
    ),
    hints=(
        "By hand: of 6, 0, 3 the first has the mean 6, the second (6 + 0) / 2, the third (6 + 0 + 3) / 3.",
        "The sum up to each position is a running sum, and torch has one. What is it divided by, at position i?",
        "x.cumsum(dim=-2) / torch.arange(1, seq + 1)[:, None]: the counts need a dimension of 1 for the features.",
        "Or as attention does it: a matrix of ones below the diagonal, each row divided by its sum, times x.",
        "Traps: divided by i, not i + 1; by the length of the whole sequence; dim=1 where there are no batches or "
        "more than one leading dimension; counts along the features; cumsum_ on the argument.",
    ),
)

LAYERNORM = Exercise(
    id="layernorm",
    title="LayerNorm",
    points=1,
    door=("run_layernorm",),
    budget="4 lines, 12 as a module; no training",
    why=(
        "Every GPT-2 has 25 of them and more. With another variance or a forgotten offset its weights load without "
        "an error, and the model speaks worse than it should."
    ),
    hints=(
        "By hand: (1, 1, 7, 3) has the mean 3, deviations (-2, -2, 4, 0) and the variance (4 + 4 + 16 + 0) / 4 = 6.",
        "It is RMSNorm of the deviations, plus an offset: first subtract the mean, then divide by the root of their "
        "mean square plus eps.",
        "The variance is the mean of squares: divided by d_model, not d_model - 1. torch's var divides by the latter "
        "unless it is told correction=0.",
        "wide = x.float(); centred = wide - wide.mean(-1, keepdim=True); normed = centred * "
        "torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps); (normed * gain + offset).to(x.dtype).",
        "Traps: x.var(-1); x.std(-1) + eps; mean(x^2) - mean(x)^2, of which nothing is left far from zero; offset "
        "before the gain; half precision; x -= mean on the argument; detach() on mean or variance.",
    ),
    forbidden=(
        "torch.nn.functional.layer_norm",
        "torch.nn.LayerNorm",
        "torch.layer_norm",
        "torch.native_layer_norm",
    ),
)

DROPOUT = Exercise(
    id="dropout",
    title="Dropout",
    points=1,
    door=("run_dropout",),
    budget="4 lines, 10 as a module; no training",
    why=(
        "It is the one part of a model that behaves differently in training and in use. Left on it spoils every "
        "measurement; unscaled it teaches layers for sums that never come."
    ),
    hints=(
        "Throw a coin for each number: with probability drop_fraction it becomes 0. What must happen to the others so "
        "that sums stay as large as they were, on the average?",
        "torch.rand(x.shape) < 1 - drop_fraction is True where a number stays. Multiply, and divide by 1 - "
        "drop_fraction.",
        "In evaluation, and where drop_fraction is 0, give x back before anything is drawn.",
        "Draw in float32: in bfloat16 there are only 256 numbers below one, and 0.999 is rounded to 1.",
        "Traps: the fraction that stays taken for the one that goes; no scaling, or scaling in evaluation; one draw "
        "per vector or for all sequences; a generator made inside the call; numpy's random numbers; *= on the "
        "argument; fractions outside [0, 1) should be refused.",
    ),
    forbidden=(
        "torch.nn.functional.dropout",
        "torch.nn.Dropout",
        "torch.dropout",
        "torch.native_dropout",
        "torch.nn.functional.alpha_dropout",
        "torch.feature_dropout",
    ),
)

GELU_FEEDFORWARD = Exercise(
    id="gelu_feedforward",
    title="The classic feed-forward, with GELU",
    points=1,
    door=("run_gelu_feedforward",),
    prerequisites=("linear",),
    budget="4 lines; no training",
    why=(
        "Two thirds of the weights in a GPT-2's blocks are here. With the exact GELU in place of its tanh formula "
        "the logits are off in the third digit, and nobody finds out why."
    ),
    hints=(
        "Three steps: up to d_ff numbers, bend each of them, back down to d_model. Both matrices have a bias.",
        "GELU(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). torch.tanh is allowed, and never overflows.",
        "w1 is (d_ff, d_model), as in `linear`: x @ w1.T + b1. The bias belongs inside of GELU.",
        "hidden = x @ w1.T + b1; bent = 0.5 * hidden * (1 + torch.tanh(sqrt(2/pi) * (hidden + 0.044715 * hidden**3)));"
        " bent @ w2.T + b2.",
        "Traps: x sigmoid(1.702 x) and the error function are other GELUs; 2/pi without the root; b1 added after GELU; "
        "a square w2 the wrong way round; tanh written with exponentials that overflow.",
    ),
    forbidden=("torch.nn.functional.gelu", "torch.nn.GELU", *LINEAR_LAYERS),
)

GROUPED_QUERY_ATTENTION = Exercise(
    id="grouped_query_attention",
    title="Grouped-query attention",
    points=2,
    door=("run_grouped_query_attention",),
    prerequisites=("multihead_self_attention",),
    budget="about 15 lines; no training",
    why=(
        "While a model writes, the keys and values of all tokens are read again for each new one; shared by four "
        "heads each they are a quarter. Dealt out to the wrong heads they fit in every shape, and no checkpoint is "
        "read right."
    ),
    hints=(
        "It is your multi-head attention with fewer key and value heads. What changes is one line: each of them "
        "serves num_heads / num_kv_heads query heads.",
        "head_dim is d_model / num_heads for all three. Split q into num_heads heads, k and v into num_kv_heads.",
        "Query heads 0 .. group-1 share the first pair, the next group the second: head h reads pair h // group.",
        "k.repeat_interleave(group, dim=-3), and v likewise, before attention as you have it. repeat() would deal them "
        "out in turn.",
        "Traps: .repeat or .expand that gives h % num_kv_heads; the heads dimension counted from the left; the root "
        "of another width; a mean over the heads of a group; no error where num_heads is no multiple.",
    ),
    forbidden=(*ATTENTION, *LINEAR_LAYERS),
)

QK_NORM = Exercise(
    id="qk_norm",
    title="QK-norm: scores that cannot explode",
    points=1,
    door=("run_qk_norm_scores",),
    prerequisites=("rmsnorm", "scaled_dot_product_attention"),
    budget="3 lines; no training",
    why=(
        "In long runs queries and keys grow until one key takes all of the attention, and the loss leaps. Normalised, "
        "no score can exceed the root of d_k times its gains. With length one in place of RMSNorm's size one, "
        "attention is nearly an average."
    ),
    hints=(
        "Two functions that you have: RMSNorm on each query and each key, then the scaled product of attention.",
        "Only the last dimension is normalised, d_k: each head by itself, after it has been cut.",
        "Queries have gains of their own, and so have keys; the division by sqrt(d_k) stays.",
        "rmsnorm(Q, q_weights, eps) @ rmsnorm(K, k_weights, eps).transpose(-1, -2) / sqrt(d_k).",
        "Traps: F.normalize makes vectors of length one: smaller by sqrt(d_k), twice; the gains of the other side, or "
        "before the norm; one of the two left out; the norm over the sequence; squares in float16.",
    ),
    forbidden=("torch.nn.functional.rms_norm", "torch.nn.RMSNorm"),
)

MUON = Exercise(
    id="muon",
    title="Muon: orthogonal steps",
    points=2,
    door=("run_newton_schulz", "run_muon_step"),
    prerequisites=("adamw",),
    budget="about 20 lines; no training",
    why=(
        "A gradient's few large singular values drown the others, and what is rare is learned late. A step whose "
        "singular values are all near one learns both. A round too few, or a factor of the shape forgotten, still "
        "trains, and is only no better than AdamW."
    ),
    hints=(
        "Start with numbers: what does s -> 3.4445 s - 4.7750 s^3 + 2.0315 s^5 make, five times over, of 0.01, 0.1 and "
        "0.9?",
        "With X = U S V^T, X X^T X = U S^3 V^T: a polynomial in X X^T, times X, is the polynomial of each singular "
        "value. No decomposition is needed.",
        "All singular values must begin below one: divide by the root of the sum of all squared entries, which is at "
        "least the largest of them. Guard against zero. Work on the transpose of a tall matrix, and turn it back.",
        "x = a*x + (b*g + c*g@g) @ x with g = x @ x.T, five times. The step: m = beta m + (1 - beta) g; ahead = beta m "
        "+ (1 - beta) g; W (1 - lr decay) - lr 0.2 sqrt(max(shape)) newton_schulz(ahead).",
        "Traps: the norm of one row; g @ g.T for the third power of a tall matrix; bfloat16; the old momentum in the "
        "look ahead; decay added to the gradient; sqrt of the smaller side; changes in place.",
    ),
)
