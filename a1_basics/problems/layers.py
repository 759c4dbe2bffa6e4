"""The code problems of single layers: what a token vector meets on its own, and how it is told its place.

Hints climb from a nudge to nearly the solution; the last rung names the traps.
"""

from shared.doors.exercise import Exercise

# What torch has ready-made, where more than one problem asks to build it.
LINEAR_LAYERS = ("torch.nn.functional.linear", "torch.nn.Linear")
SILUS = ("torch.nn.functional.silu", "torch.nn.SiLU", "torch._C._nn.silu_")

LINEAR = Exercise(
    id="linear",
    title="The linear layer",
    points=1,
    door=("run_linear",),
    budget="1 line, 10 as a module; no training",
    why=(
        "Nearly all parameters of a model, and nearly all of its arithmetic, are linear layers. A transposed "
        "square weight raises no error, and a weight in half precision passes a careless test."
    ),
    hints=(
        "Take W = [[1, 2], [3, 4], [5, 6]] and x = (1, 10) and compute three numbers on paper: each is one row "
        "of W times x.",
        "W has shape (d_out, d_in): each row belongs to one output. A row vector x times a matrix runs over "
        "columns, so it is W^T that x is multiplied with.",
        "x @ W.T carries any number of leading dimensions of x by itself; so does an einsum with an ellipsis: "
        "'... d_in, d_out d_in -> ... d_out'.",
        "As a module: one nn.Parameter of shape (d_out, d_in), no bias, drawn from a normal with variance "
        "2 / (d_in + d_out) and cut at three standard deviations (nn.init.trunc_normal_). The door loads "
        "`weights` into it, by load_state_dict for example, and calls it.",
        "Traps: x @ W for a square W; .view() on an input that is no contiguous memory; .data, .detach() or "
        "no_grad around the product.",
    ),
    forbidden=(*LINEAR_LAYERS, "torch.nn.functional.bilinear"),
)

EMBEDDING = Exercise(
    id="embedding",
    title="The embedding",
    points=1,
    door=("run_embedding",),
    budget="1 line, 10 as a module; no training",
    why=(
        "The embedding is the only place where a token's name becomes numbers. A row that is scaled, rounded or "
        "shared with another token is wrong in everything that follows, and no error tells."
    ),
    hints=(
        "Nothing is computed here. Write down a table of three rows, the ids (2, 0), and what comes out.",
        "Indexing a tensor with a tensor of integers picks rows, and the result has the shape of the indices "
        "and then the rest of the table's.",
        "weights[token_ids] is all of it, for ids of any shape. Autograd adds up the gradients of a row that was "
        "picked several times.",
        "As a module: one nn.Parameter of shape (vocab_size, d_model), from a standard normal cut at three "
        "standard deviations.",
        "Traps: a factor of sqrt(d_model), which older models have and this one has not; a table in half "
        "precision; a cache of tables by their size; a slice of the table, which is no copy.",
    ),
    forbidden=(
        "torch.nn.functional.embedding",
        "torch.nn.functional.embedding_bag",
        "torch.nn.Embedding",
        "torch.nn.EmbeddingBag",
    ),
)

RMSNORM = Exercise(
    id="rmsnorm",
    title="RMSNorm",
    points=1,
    door=("run_rmsnorm",),
    budget="3 lines, 12 as a module; no training",
    why=(
        "Without a norm in front of each layer a deep model does not train. One that overflows in half precision, "
        "or whose root passes no gradient, trains for a while and then goes dead or slow, with right numbers in "
        "every small test."
    ),
    hints=(
        "By hand: (1, 7, -5, 5) has the mean square 25. Divide by 5. Then each coordinate gets its own gain.",
        "x / sqrt(mean(x^2) + eps) * gain, the mean over the last dimension with keepdim=True. Nothing is "
        "subtracted. eps is under the root, beside the mean.",
        "Half precision: x.float() first, the gain last, then back with .to(in_features.dtype). The square of "
        "300 does not fit in float16.",
        "wide = x.float(); normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps); "
        "return (normed * gain).to(x.dtype).",
        "Traps: eps beside the root or beside the sum; the eps of the constructor's default in place of the one "
        "given; sum in place of mean; x /= rms, which also normalises the residual stream; detach() on the root.",
    ),
    forbidden=("torch.nn.functional.rms_norm", "torch.nn.RMSNorm"),
)

SOFTMAX = Exercise(
    id="softmax",
    title="Softmax",
    points=1,
    door=("run_softmax",),
    budget="3 lines; no training",
    why=(
        "Attention weights and the probabilities of the next token are softmaxes. Along the wrong dimension it "
        "still sums to one, and unshifted it is NaN on the first large score."
    ),
    hints=(
        "By hand: the scores 0, ln 3, ln 4 have the exponentials 1, 3, 4, so the weights are 1/8, 3/8, 4/8.",
        "The same number subtracted from all scores of a row changes nothing. Which number makes sure that no "
        "exponential overflows, and that not all of them vanish?",
        "The largest of the row: scores.amax(dim=dim, keepdim=True). Then every exponential is at most 1, and one "
        "of them is 1, so the sum is never 0.",
        "powers = (scores - scores.amax(dim, keepdim=True)).exp(); powers / powers.sum(dim, keepdim=True).",
        "Traps: dim=-1 hard-wired; .max() of the whole tensor; .max(dim) returns a pair; a small number added to "
        "the sum, which is at least 1; -= on the caller's scores; detach() on the sum (on the maximum it does no "
        "harm: the shift cancels).",
    ),
    forbidden=(
        "torch.nn.functional.softmax",
        "torch.nn.functional.log_softmax",
        "torch.nn.functional.softmin",
        "torch.nn.functional.gumbel_softmax",
        "torch.nn.Softmax",
        "torch.nn.LogSoftmax",
        "torch.nn.Softmax2d",
        "torch.nn.Softmin",
        "torch.sparse.softmax",
        "torch._softmax",
        "torch.masked.softmax",
    ),
)

SILU = Exercise(
    id="silu",
    title="SiLU",
    points=1,
    door=("run_silu",),
    budget="1 line; no training",
    why=(
        "The activation is evaluated billions of times, on numbers of any size. The obvious formula has the right "
        "value at -100 and a gradient of NaN, and one NaN ends a training run."
    ),
    hints=(
        "Draw it: 0 at 0, close to x on the right, close to 0 on the left, and a dip to -0.28 in between. It is x "
        "times a soft switch, the sigmoid.",
        "sigmoid(x) = 1 / (1 + e^-x). What is e^-x in float32 when x is -100, and what does autograd make of a "
        "quotient with it?",
        "torch.sigmoid is allowed, and is stable on both sides, forwards and backwards.",
        "x * torch.sigmoid(x).",
        "Traps: x / (1 + exp(-x)) overflows to the left, x exp(x) / (1 + exp(x)) to the right; torch.where between "
        "the two still passes NaN back from the branch that was not taken; mul_ destroys what the backward pass "
        "needs.",
    ),
    forbidden=SILUS,
)

POSITIONWISE_FEEDFORWARD = Exercise(
    id="positionwise_feedforward",
    title="The gated feed-forward (SwiGLU)",
    points=2,
    door=("run_swiglu",),
    budget="2 lines, 12 as a module; no training",
    prerequisites=("linear", "silu"),
    why=(
        "Two thirds of a model's weights stand here. Two of its three matrices have the same shape, so exchanging "
        "them raises no error; the loss falls a little less, and everybody's checkpoints become nonsense."
    ),
    hints=(
        "Two hidden vectors of width d_ff are made from x, one is bent by SiLU, they are multiplied number by "
        "number, and a third matrix leads back. Write down the four shapes.",
        "w1 makes the gate (the one that is bent), w3 the content, w2 leads back: w2 (silu(w1 x) * w3 x).",
        "All three are linear layers without bias, stored (d_out, d_in). Reuse your linear and your silu.",
        "hidden = silu(linear(x, w1)) * linear(x, w3); return linear(hidden, w2).",
        "Traps: w1 and w3 exchanged; SiLU on the product, on both, or at the end; x added inside (the block does "
        "that); x / (1 + exp(-x)) as SiLU.",
    ),
    forbidden=(*SILUS, *LINEAR_LAYERS),
)

ROPE = Exercise(
    id="rope",
    title="Rotary position embeddings",
    points=2,
    door=("run_rope",),
    budget="about 10 lines; no training",
    why=(
        "Attention alone cannot tell 'dog bites man' from 'man bites dog'. RoPE is the model's only "
        "sense of order; a wrong angle or pairing raises no error and only shows as a poor loss, or as "
        "fluent nonsense when weights move to another program."
    ),
    hints=(
        "Do it for one vector of two numbers first: at position p, (a, b) turns by the angle p into (a "
        "cos p - b sin p, a sin p + b cos p). Everything else is many such pairs, each with its own "
        "speed.",
        "Pair k is the neighbours (2k, 2k+1), for k from 0 to d_k/2 - 1, and turns by p * theta ** "
        "(-2k / d_k): the first pair fastest, by one radian per position. That is one number per pair, "
        "so the table of angles has d_k/2 columns.",
        "The angles come from token_positions, which may start anywhere, run backwards, repeat, and "
        "have leading dimensions of its own. angles = positions[..., None] * inverse_frequencies has "
        "shape (..., seq, d_k/2) and broadcasts against x[..., 0::2].",
        "a, b = x[..., 0::2], x[..., 1::2]; compute the two rotated halves; put them back where they "
        "came from. torch.stack((new_a, new_b), dim=-1).flatten(-2) interleaves, torch.cat would not.",
        "Traps: torch.cat leaves all first members before all second ones; bfloat16 cannot count "
        "beyond 256, so compute angles, cos and sin in float32 even for a bfloat16 x and convert the "
        "result back with .to(x.dtype); a table of max_seq_len rows must be indexed by "
        "token_positions, not cut to x.shape[-2]; and a cache must be keyed by theta and d_k as well.",
    ),
)
