"""The code problems from attention to a whole model, and how text is drawn from it.

Hints climb from a nudge to nearly the solution; the last rung names the traps.
"""

from a1_basics.problems.layers import LINEAR_LAYERS
from shared.doors.exercise import Exercise

# What torch has ready-made, from the kernel outwards: each of these holds the one before it.
FUSED_ATTENTION = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
    "torch.nn.MultiheadAttention",
    "torch.nn.attention.flex_attention.flex_attention",
)
ATTENTION = (
    *FUSED_ATTENTION,
    "torch._scaled_dot_product_attention_math",
    "torch._native_multi_head_attention",
)
A_BLOCK = (
    *ATTENTION,
    "torch.nn.TransformerEncoderLayer",
    "torch.nn.TransformerDecoderLayer",
    "torch.nn.functional.rms_norm",
    "torch.nn.RMSNorm",
    "torch.nn.functional.silu",
    "torch.nn.SiLU",
    *LINEAR_LAYERS,
)

SCALED_DOT_PRODUCT_ATTENTION = Exercise(
    id="scaled_dot_product_attention",
    title="Scaled dot-product attention",
    points=5,
    door=("run_scaled_dot_product_attention",),
    budget="about 8 lines; no training",
    why=(
        "Everything a token learns about the other tokens passes through this one function. A key that "
        "leaks through the mask lets the model read the answer: a wonderful training loss and a model "
        "that writes rubbish."
    ),
    hints=(
        "Three steps: compare every query with every key, turn each row of scores into weights that "
        "sum to one, and mix the values with these weights. Write down the shape after each step "
        "before you write code.",
        "scores = Q K^T / sqrt(d_k) has shape (..., q_len, k_len). d_k is the width of the *keys*; V "
        "may have another width, and k_len need not be q_len. Only the last two dimensions take part, "
        "so K.transpose(-1, -2) and @ carry any number of leading dimensions.",
        "mask is True where a query may attend. Put -inf where it is False, *before* the softmax: "
        "exp(-inf) is exactly 0. mask=None means that nothing is masked; do not add a causal mask of "
        "your own.",
        "A softmax that survives large scores subtracts the largest score of each row first: "
        "exp(s - max) / sum(exp(s - max)), along the last dimension, with keepdim=True.",
        "Traps: a large finite number such as -1e9 instead of -inf loses to real scores below it, and "
        "masking after the softmax leaves rows that no longer sum to one; in-place operators (Q /= "
        "..., masked_fill_ on an argument) change the caller's tensors; detach() or no_grad gives "
        "right numbers and a model that cannot learn.",
    ),
    # Fused attention is what this problem asks to build. A softmax is not: it is a problem of its own.
    forbidden=FUSED_ATTENTION,
)

MULTIHEAD_SELF_ATTENTION = Exercise(
    id="multihead_self_attention",
    title="Multi-head self-attention",
    points=5,
    door=("run_multihead_self_attention", "run_multihead_self_attention_with_rope"),
    budget="about 15 lines; no training",
    prerequisites=("linear", "softmax", "rope", "scaled_dot_product_attention"),
    why=(
        "Here a sequence is cut into heads and put together again, and the future is hidden. Heads cut from the "
        "wrong dimension fit in every shape, and a mask that is one too wide gives a wonderful training loss and a "
        "model that writes rubbish."
    ),
    hints=(
        "Write down the shapes on the way: (..., seq, d_model), then (..., seq, heads, head_dim), then (..., "
        "heads, seq, head_dim), and all the way back. Attention itself is your function from before, unchanged: "
        "heads are one more leading dimension.",
        "Head h owns rows h*head_dim .. (h+1)*head_dim - 1 of the three projections. einops says it in one line: "
        "rearrange(x @ W.T, '... seq (heads d) -> ... heads seq d', heads=num_heads). A reshape straight to "
        "(heads, seq, d) would cut heads from positions.",
        "The mask is torch.ones(seq, seq, dtype=torch.bool).tril(), made for the sequence that came: query i may "
        "see keys 0 .. i. The scale is that of a head, sqrt(d_model / num_heads).",
        "RoPE turns queries and keys of each head, after the split, never values. token_positions has shape (..., "
        "seq) and no heads: positions[..., None, :] makes room for them. None means torch.arange(seq).",
        "Traps: (d heads) in place of (heads d); a mask made for one length; -1e9; RoPE over d_model before the "
        "split; RoPE on values; sqrt(d_model); positions that are ignored, or of the first sequence only; a "
        "forgotten transpose before the heads are joined; W_o left out.",
    ),
    forbidden=(*ATTENTION, *LINEAR_LAYERS),
)

TRANSFORMER_BLOCK = Exercise(
    id="transformer_block",
    title="The transformer block",
    points=3,
    door=("run_transformer_block",),
    budget="about 10 lines; no training",
    prerequisites=("rmsnorm", "positionwise_feedforward", "multihead_self_attention"),
    why=(
        "Where the norms stand decides whether a deep model trains. After the sum, around it, or one norm for both "
        "halves: every shape fits, and small models even learn."
    ),
    hints=(
        "Two halves of the same form: something is read from a normalised copy of x, and added to x itself.",
        "y = x + attention(norm(x, ln1)); z = y + feed_forward(norm(y, ln2)). The second half starts from y.",
        "Set the output projection and w2 to zero in your head: the block must return x, exactly.",
        "The weights come by name: attn.q_proj.weight, attn.k_proj.weight, attn.v_proj.weight, "
        "attn.output_proj.weight, ln1.weight, ffn.w1.weight, ffn.w2.weight, ffn.w3.weight, ln2.weight. If your "
        "module's parameters have these names, load_state_dict is all there is to do. eps is 1e-5; positions are "
        "0, 1, 2, ...",
        "Traps: norm(x + attention(x)); feed_forward(norm(x)) from the old x; x + ... starting from the "
        "normalised copy; ln1 and ln2 exchanged; += on the argument; pop() on the caller's dict; RoPE forgotten.",
    ),
    forbidden=A_BLOCK,
)

TRANSFORMER_LM = Exercise(
    id="transformer_lm",
    title="The transformer language model",
    points=3,
    door=("run_transformer_lm",),
    budget="about 15 lines; no training",
    prerequisites=("embedding", "transformer_block"),
    why=(
        "This is the model that all later stages train, split, measure and serve. Layers in the wrong order, a "
        "missing last norm or probabilities in place of logits still train; they only never reach the loss they "
        "should, and no checkpoint of theirs can be read."
    ),
    hints=(
        "Rows of the table, then the blocks one after another, a last norm, a last linear layer. Nothing else: no "
        "position is added, no softmax at the end.",
        "Weights of layer i are those whose names begin with layers.i. and then continue as in the block; besides "
        "there are token_embeddings.weight, ln_final.weight and lm_head.weight.",
        "An nn.ModuleList called layers gives the right names by itself, and load_state_dict reads the dict.",
        "x = table[ids]; for i in range(num_layers): x = block(x, weights of i); return norm(x, ln_final) @ "
        "lm_head.T.",
        "Traps: sorted(names) puts layers.10 before layers.2; 'layers.1' is also the beginning of 'layers.10'; one "
        "block used num_layers times; the last norm forgotten; log-softmax on the logits; the embedding scaled; "
        "lm_head tied to the embedding, though both are given; a mask of context_length for a shorter sequence.",
    ),
    forbidden=(*A_BLOCK, "torch.nn.functional.embedding", "torch.nn.Embedding"),
)

BIGRAM = Exercise(
    id="bigram",
    title="The counted bigram model",
    points=2,
    door=("bigram_model",),
    budget="about 20 lines; seconds of counting",
    why=(
        "It is the line below which a transformer must fall: a curve that stays above it has learned nothing of "
        "context. Its loss is known in closed form, so it also tells whether an evaluation is right."
    ),
    hints=(
        "Count by hand first: in 'a b a a b', which tokens follow a, and how often? That row, divided by its sum, "
        "is the whole model.",
        "One table of vocab_size x vocab_size counts: rows are the token before, columns the token after. "
        "numpy.add.at, numpy.bincount and torch.bincount count pairs without a loop.",
        "Smooth in two steps: q(b) = (how often b comes second + 1/V) / (pairs + 1), then p(b after a) = (count(a, "
        "b) + 5 q(b)) / (count(a) + 5).",
        "An nn.Module whose forward looks up rows: register the table of log-probabilities as a buffer, and accept "
        "positions=None and attend=None.",
        "Traps: counts[a, b] += 1 with arrays counts a repeated pair once; a * V + b overflows in uint16; "
        "divide rows, not columns; log-probabilities, not probabilities, are what a softmax gives back.",
    ),
)

DECODING = Exercise(
    id="decoding",
    title="Decoding: from probabilities to text",
    points=3,
    door=("generate_tokens",),
    prerequisites=("softmax",),
    budget="about 35 lines; no training",
    why=(
        "A good model writes rubbish when its tokens are chosen badly, and nobody looks for the fault there. A "
        "bound off by one, settings in another order or a context cut at the wrong end raise no error."
    ),
    hints=(
        "Write the loop for temperature 0 first: show the model the text, take the most probable next token, "
        "append it, yield it; stop at end_token or after max_new_tokens.",
        "Then draw: p = softmax(logits[-1] / temperature), and torch.multinomial(p, 1, generator=...) with one "
        "torch.Generator().manual_seed(seed), made before the loop.",
        "top_k: set all but the k largest to zero. top_p: sort downwards; a token stays if the sum of those "
        "*before* it is below p. So the one that crosses p stays, and at least one always does. Divide by the sum.",
        "Order: temperature, then top_k, then top_p of what top_k left. The model sees the last context_length "
        "tokens, as (1, seq) of torch.long, and no gradients are recorded.",
        "Traps: `with torch.no_grad()` around the yield stays on in the caller; end_token=0 is a token; the seed "
        "inside the loop draws the same number each time; a sorted place is not an id; exp of large logits; "
        "settings out of range should be refused.",
    ),
    forbidden=(
        "transformers.TemperatureLogitsWarper",
        "transformers.TopKLogitsWarper",
        "transformers.TopPLogitsWarper",
        "transformers.GenerationMixin.generate",
    ),
)
