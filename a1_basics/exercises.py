"""The problems of stage 1, in the order of HANDOUT.md: the one source of their metadata.

Only metadata. Hints climb from a nudge to nearly the solution; the last rung names the traps. Questions answered
by a number or a text stand in `numeric` and `written`, and here in their place.
"""

from a1_basics import numeric, written
from shared.doors.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    written.UNICODE1,
    written.UNICODE2,
    Exercise(
        id="train_bpe",
        title="Training byte-pair encoding",
        points=15,
        door=("run_train_bpe",),
        budget="about 100 lines; seconds on one core",
        why=(
            "Every later number is about the tokens that are chosen here. A trainer that miscounts one overlapping "
            "pair, or merges into the end-of-text mark, raises no error: it makes another tokenizer, and data, "
            "checkpoints and results made with it fit nobody else's."
        ),
        hints=(
            "Do it on paper first: the corpus 'ab ab abc'. Cut it into pre-tokens, write each as single bytes with "
            "the number of times it occurs, count neighbouring pairs, glue the most frequent one, count again. Then "
            "write exactly that, slowly; keep it, for it is the oracle of your fast version.",
            "Order of work: read the file as bytes and decode it once (no newline translation); split at the special "
            "tokens, escaped, the longest first; pre-token pattern on each part alone; one Counter over all "
            "pre-tokens; only then merges. Splitting with a plain alternation drops the special tokens; that is "
            "what you want here.",
            "The winner is max(pairs, key=lambda pair: (pairs[pair], pair)) with pairs of *bytes*: count first, then "
            "the pair itself as a tuple. A merge replaces occurrences from the left, so 'aaa' becomes 'aa', 'a'. No "
            "pair left: stop. vocab_size counts everything: 256 bytes, special tokens and merges.",
            "Speed: only words that hold the winner change. Keep pair -> count and pair -> set of words; for each of "
            "these words take all its old pairs off the counts, glue, and put all its new pairs on. Doing it for the "
            "whole word, not around each occurrence, is what makes 'aaaa' and 'ababab' come out right.",
            "Traps: a special token that is a prefix of another; re.split without re.escape, or with a group; "
            "joining the parts again after splitting; pairs whose count fell to 0 still winning a tie; ids of "
            "special tokens after the merges instead of before; a heap whose entries are older than the counts "
            "(compare with the count when an entry comes up, and put it back if it is too high); file chunks cut "
            "inside a character or a word.",
        ),
        forbidden=(
            "tokenizers.Tokenizer",
            "tokenizers.trainers.BpeTrainer",
            "tokenizers.ByteLevelBPETokenizer",
            "tiktoken.Encoding",
            "tiktoken.get_encoding",
        ),
        time_limit_seconds=180.0,
    ),
    written.TRAIN_BPE_TINYSTORIES,
    written.TRAIN_BPE_EXPTS_OWT,
    Exercise(
        id="tokenizer",
        title="Encoding and decoding",
        points=15,
        door=("get_tokenizer",),
        prerequisites=("train_bpe",),
        budget="about 80 lines; seconds on one core",
        why=(
            "A model knows ids and nothing else. Ids that differ between training and use, between a file read whole "
            "and one read by lines, or that let a user type the end-of-text mark, make a worse model and never an "
            "error."
        ),
        hints=(
            "Encode one pre-token by hand: bytes first, then look at its neighbouring pairs, glue the one that was "
            "*learned first* (not the longest, not the leftmost), look again, until no pair is a merge. decode is "
            "one join of bytes and one .decode('utf-8', errors='replace') at the very end.",
            "Three dicts do the work: bytes -> id, pair -> rank (its place in merges), special token -> id. Special "
            "tokens that vocab lacks get the next free ids. encode: split at special tokens, longest first, keeping "
            "them (a group around the alternation); pre-token pattern on the rest; merges on each pre-token.",
            "For each pre-token: pair = min(its pairs, key=lambda p: rank.get(p, infinity)); stop when that is no "
            "merge; glue it; repeat. Never walk through all merges. A dict from pre-token to ids, owned by the "
            "object, saves nine tenths of the work.",
            "encode_iterable must give the ids of the joined text. Keep a buffer; give out only what the text still "
            "to come cannot change. A cut just before white space that follows something else is always safe for "
            "the pattern, unless a special token lies across it or may still begin before the end of the buffer "
            "(its tail is a beginning of one, or a whole one that begins a longer one).",
            'Traps: splitting by lines (several line ends in a row are one pre-token); "\'" + "re" across a cut; an '
            "empty list of special tokens makes an alternation that matches everywhere; re.split gives empty "
            "strings; decoding each token alone breaks characters that span tokens; a cache on the class is shared "
            "by all tokenizers; recursion dies on a run of a thousand signs.",
        ),
        forbidden=(
            "tokenizers.Tokenizer",
            "tokenizers.Tokenizer.from_file",
            "tokenizers.Tokenizer.from_str",
            "tokenizers.models.BPE",
            "tokenizers.models.BPE.from_file",
            "tokenizers.ByteLevelBPETokenizer",
            "tiktoken.Encoding",
            "tiktoken.get_encoding",
        ),
    ),
    Exercise(
        id="chars",
        title="Characters as tokens",
        points=2,
        door=("run_train_chars", "get_char_tokenizer"),
        budget="about 25 lines; no training",
        why=(
            "The smallest tokenizer that works, and the one with which small models are taught. What it does with a "
            "character it has never seen decides whether a mistake is noticed now or in the samples."
        ),
        hints=(
            "Two dicts: character to id, id to bytes. Everything else is looking up.",
            "run_train_chars: the sorted set of characters of the text, special tokens cut out first, then the special "
            "tokens; each as its UTF-8 bytes, under ids 0, 1, 2, ...",
            "encode: split at the special tokens (escaped, longest first), look up the rest. decode: join bytes, then "
            "decode once. encode_iterable holds back what may still become a special token.",
            "Traps: open(path) turns \\r\\n into \\n; a character of several bytes is one token; an unseen character "
            "raises an error that names it, and is neither skipped nor replaced.",
        ),
    ),
    written.TOKENIZER_EXPERIMENTS_READ,
    Exercise(
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
        forbidden=("torch.nn.functional.linear", "torch.nn.Linear", "torch.nn.functional.bilinear"),
    ),
    Exercise(
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
    ),
    Exercise(
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
    ),
    Exercise(
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
    ),
    Exercise(
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
        forbidden=("torch.nn.functional.silu", "torch.nn.SiLU", "torch._C._nn.silu_"),
    ),
    Exercise(
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
        forbidden=(
            "torch.nn.functional.silu",
            "torch.nn.SiLU",
            "torch._C._nn.silu_",
            "torch.nn.functional.linear",
            "torch.nn.Linear",
        ),
    ),
    Exercise(
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
    ),
    Exercise(
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
        forbidden=(
            "torch.nn.functional.scaled_dot_product_attention",
            "torch.nn.functional.multi_head_attention_forward",
            "torch.nn.MultiheadAttention",
            "torch.nn.attention.flex_attention.flex_attention",
        ),
    ),
    Exercise(
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
        forbidden=(
            "torch.nn.functional.scaled_dot_product_attention",
            "torch.nn.functional.multi_head_attention_forward",
            "torch.nn.MultiheadAttention",
            "torch.nn.attention.flex_attention.flex_attention",
            "torch._scaled_dot_product_attention_math",
            "torch._native_multi_head_attention",
            "torch.nn.functional.linear",
            "torch.nn.Linear",
        ),
    ),
    Exercise(
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
        forbidden=(
            "torch.nn.functional.scaled_dot_product_attention",
            "torch.nn.functional.multi_head_attention_forward",
            "torch.nn.MultiheadAttention",
            "torch.nn.attention.flex_attention.flex_attention",
            "torch._scaled_dot_product_attention_math",
            "torch._native_multi_head_attention",
            "torch.nn.TransformerEncoderLayer",
            "torch.nn.TransformerDecoderLayer",
            "torch.nn.functional.rms_norm",
            "torch.nn.RMSNorm",
            "torch.nn.functional.silu",
            "torch.nn.SiLU",
            "torch.nn.functional.linear",
            "torch.nn.Linear",
        ),
    ),
    Exercise(
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
        forbidden=(
            "torch.nn.functional.scaled_dot_product_attention",
            "torch.nn.functional.multi_head_attention_forward",
            "torch.nn.MultiheadAttention",
            "torch.nn.attention.flex_attention.flex_attention",
            "torch._scaled_dot_product_attention_math",
            "torch._native_multi_head_attention",
            "torch.nn.TransformerEncoderLayer",
            "torch.nn.TransformerDecoderLayer",
            "torch.nn.functional.rms_norm",
            "torch.nn.RMSNorm",
            "torch.nn.functional.silu",
            "torch.nn.SiLU",
            "torch.nn.functional.linear",
            "torch.nn.Linear",
            "torch.nn.functional.embedding",
            "torch.nn.Embedding",
        ),
    ),
    numeric.TRANSFORMER_ACCOUNTING,
    Exercise(
        id="cross_entropy",
        title="Cross-entropy",
        points=1,
        door=("run_cross_entropy",),
        budget="3 lines; no training",
        why=(
            "This number is all that training looks at. Where the softmax underflows, its logarithm is infinite or "
            "clamped, and the worst mistakes, which should teach most, teach nothing."
        ),
        hints=(
            "By hand: logits (0, ln 3) are the probabilities 1/4 and 3/4. What does each target cost, as -ln p?",
            "-ln (e^t / sum e^x) = ln sum e^x - t, with t the target's logit. No probability has to be formed.",
            "ln sum e^x is stable when the largest logit of the row is taken out first: m + ln sum e^(x - m). "
            "torch.logsumexp does that, and is allowed.",
            "The target's logit, for any number of leading dimensions: inputs.gather(-1, targets[..., None])[..., 0]. "
            "Then the mean over everything.",
            "Traps: log(softmax(x)), with or without a small number added; .max() of the whole batch; a loss that "
            "takes exactly two dimensions; sum in place of mean; .item().",
        ),
        forbidden=(
            "torch.nn.functional.cross_entropy",
            "torch.nn.functional.nll_loss",
            "torch.nn.functional.log_softmax",
            "torch.nn.CrossEntropyLoss",
            "torch.nn.NLLLoss",
            "torch.nn.LogSoftmax",
        ),
    ),
    written.LEARNING_RATE_TUNING,
    Exercise(
        id="adamw",
        title="AdamW",
        points=2,
        door=("get_adamw_cls",),
        budget="about 30 lines; no training",
        why=(
            "The optimizer runs for every step of every model of the later stages. Its usual mistakes (a "
            "schedule that has no effect, a count that is lost on resume) still make the loss go down, "
            "only less far, so nobody looks."
        ),
        hints=(
            "Subclass torch.optim.Optimizer. __init__ passes a dict of defaults (lr, betas, eps, "
            "weight_decay) to super().__init__(params, defaults); step() walks over self.param_groups, and "
            "over group['params'] in each.",
            "Each parameter has a memory of its own, self.state[p]: two running averages that start at "
            "zero, of the gradient (m) and of its square (v), and the number t of updates that this "
            "parameter has had. A parameter whose .grad is None is left alone altogether: no decay, no "
            "count.",
            "m = beta1 m + (1 - beta1) g and v = beta2 v + (1 - beta2) g^2 start at zero and so begin too "
            "small; divide them by 1 - beta1^t and 1 - beta2^t. Then p = p - lr * m_hat / (sqrt(v_hat) + "
            "eps).",
            "Weight decay is decoupled: p = p - lr * weight_decay * p, apart from the gradient, with the "
            "learning rate of this very step. Read lr, betas, eps and weight_decay from the group inside "
            "step(): a schedule writes group['lr'] before each call.",
            "Traps: self.defaults['lr'] or a value kept from __init__ ignores schedules and groups; a "
            "count kept on self is one for all and is lost by state_dict(), so keep t in self.state[p]; "
            "eps stands outside the square root; write p.mul_(), p.add_() under torch.no_grad(), for "
            "p.data = ... moves the parameter to new memory; call a closure once, under "
            "torch.enable_grad(), and return its loss.",
        ),
        forbidden=(
            "torch.optim.AdamW",
            "torch.optim.Adam",
            "torch.optim.NAdam",
            "torch.optim.RAdam",
            "torch.optim.Adamax",
            "torch.optim.adamw.AdamW",
            "torch.optim.adamw.adamw",
            "torch.optim.adam.Adam",
            "torch.optim.adam.adam",
            "torch._fused_adamw_",
            "torch._fused_adam_",
        ),
    ),
    numeric.ADAMW_ACCOUNTING,
    Exercise(
        id="learning_rate_schedule",
        title="The learning-rate schedule",
        points=1,
        door=("run_get_lr_cosine_schedule",),
        budget="about 8 lines; no training",
        why=(
            "The learning rate is the setting that decides most. A schedule that jumps, never comes down or rises "
            "again still trains, to a loss that is a few percent worse than it could be."
        ),
        hints=(
            "Draw it first: up along a straight line, down along half a cosine, then level. Write the rate at the "
            "four corners (step 0, the end of the warm-up, the end of the cosine, far beyond) beside the drawing.",
            "Three cases, in this order: it < warmup_iters; it > cosine_cycle_iters; in between.",
            "In between, progress = (it - warmup_iters) / (cosine_cycle_iters - warmup_iters) runs from 0 to 1, and "
            "0.5 * (1 + cos(pi * progress)) from 1 to 0. That is the share of the way from min to max.",
            "Traps: warmup_iters=0 must never reach a division by it, and cosine_cycle_iters=warmup_iters makes "
            "progress 0/0; the cosine spans the steps after the warm-up, not all of them; return a Python float.",
        ),
        forbidden=(
            "torch.optim.lr_scheduler.CosineAnnealingLR",
            "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
            "torch.optim.lr_scheduler.LinearLR",
            "torch.optim.lr_scheduler.SequentialLR",
            "torch.optim.lr_scheduler.OneCycleLR",
            "transformers.get_cosine_schedule_with_warmup",
        ),
    ),
    Exercise(
        id="gradient_clipping",
        title="Gradient clipping",
        points=1,
        door=("run_gradient_clipping",),
        budget="about 8 lines; no training",
        why=(
            "One strange batch can move all weights so far that hundreds of steps are lost. Clipping bounds the "
            "step; done wrongly it does nothing, or makes every small step a large one, and says so in neither case."
        ),
        hints=(
            "Lay all gradients of all parameters end to end: one long vector. If it is longer than max_l2_norm, make "
            "it shorter without turning it.",
            "The joint norm is the root of the sum of all squares. Every gradient is multiplied by the same factor, "
            "max_l2_norm / (norm + 1e-6), and only if the norm exceeds the bound.",
            "Collect the gradients in a list first, `[p.grad for p in parameters if p.grad is not None]`: the "
            "argument may be a generator and lives for one loop.",
            "Traps: p.grad = p.grad * factor makes a new tensor, p.grad.mul_(factor) does not; gradients of zero or "
            "no gradients at all are no error; sum the squares in float32, because float16 and bfloat16 cannot.",
        ),
        forbidden=(
            "torch.nn.utils.clip_grad_norm_",
            "torch.nn.utils.clip_grad_norm",
            "torch.nn.utils.clip_grad.clip_grad_norm_",
            "torch.nn.utils.clip_grads_with_norm_",
            "torch.nn.utils.get_total_norm",
        ),
    ),
    Exercise(
        id="get_batch",
        title="Batches from one long row of tokens",
        points=2,
        door=("run_get_batch",),
        budget="about 8 lines; no training",
        why=(
            "The targets define what the model learns: shifted by the wrong amount it learns to copy, and "
            "a loader that never reaches the end, or reads the whole file for each batch, wastes data or "
            "days without any error."
        ),
        hints=(
            "Draw batch_size random starts; for each take context_length tokens as x, and as y the same "
            "window moved one token to the right, read from the dataset.",
            "x needs tokens i .. i+c-1 and y needs i+1 .. i+c, so the last legal start is len(dataset) - c "
            "- 1. The upper end of torch.randint and numpy.random.randint is exclusive. A dataset of c + 1 "
            "tokens has exactly one start. Draw with replacement: a batch may be larger than the number of "
            "starts.",
            "The dataset may be a memory map of many gigabytes. Slice it, or index it with the positions "
            "starts[:, None] + arange(c), and only then convert; torch.tensor(dataset) or "
            "dataset.astype(...) reads it all.",
            "Token files are uint16, an embedding wants torch.long: numpy.asarray(window, "
            "dtype=numpy.int64), then torch.from_numpy(...), then .to(device) for x and for y.",
            "Traps: y = x + 1 only works on a test made of arange; int16 turns token 40000 into a negative "
            "number; a seed or a generator of your own, inside the function or the module, takes "
            "reproducibility away from the caller: use torch's, numpy's or random's global generator; and "
            "never fall back to the CPU when the device asked for is not there.",
        ),
    ),
    Exercise(
        id="checkpointing",
        title="Checkpoints",
        points=1,
        door=("run_save_checkpoint", "run_load_checkpoint"),
        prerequisites=("adamw",),
        budget="about 8 lines; no training",
        why=(
            "Every long run is interrupted. A checkpoint that forgets the optimizer's averages or a changed rate "
            "resumes without an error and trains another model; one that is unpickled carelessly runs the program "
            "of whoever wrote it."
        ),
        hints=(
            "Ask model and optimizer for everything they hold: each has a method that gives it as a dict, and one "
            "that takes it back.",
            "One dict of three entries (model, optimizer, iteration), written with torch.save, which takes paths and "
            "open binary files alike; so does torch.load.",
            "torch.load(src, map_location='cpu', weights_only=True): tensors land where every machine has room, and "
            "the file cannot run code. load_state_dict copies them into the parameters that are there.",
            "Traps: open(out, 'wb') refuses buffers; strict=False leaves random numbers where the file has none; "
            "assign=True swaps parameters that the optimizer still holds; named_parameters() has no buffers; do not "
            "touch generators, training mode or requires_grad.",
        ),
    ),
    Exercise(
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
    ),
    Exercise(
        id="evaluate",
        title="Evaluation in bits per byte",
        points=2,
        door=("evaluate_model",),
        budget="about 30 lines; no training",
        why=(
            "Runs are compared by this number. An evaluation that drops the end of the text, counts tokens twice or "
            "lets each window begin in the dark moves it by more than most ideas are worth."
        ),
        hints=(
            "Take ten tokens and a context of four, and write down every window: where it begins, which targets it "
            "has, which of them an earlier window has counted.",
            "Windows begin at 0, stride, 2 stride, ...; the first counts all its targets, each later one only its last "
            "`stride`. The last may be short: pad it, and do not count the padding.",
            "The loss of a target is logsumexp(logits) - logits[target]. Sum losses, tokens and token_bytes[target] "
            "over what counts; return Evaluation(nats, tokens, num_bytes) of shared.doors.protocols.",
            "Traps: a mean of batches of unequal size; bytes of inputs instead of targets; stride=None means "
            "context_length; gradients on; a model left in eval mode; sums in float32 over a million tokens.",
        ),
    ),
    Exercise(
        id="training_together",
        title="Training, put together",
        points=4,
        door=("train",),
        prerequisites=(
            "adamw",
            "learning_rate_schedule",
            "gradient_clipping",
            "get_batch",
            "checkpointing",
        ),
        budget="about 100 lines; the tests train for a few seconds",
        why=(
            "Every part may be right and the whole wrong: a schedule that is computed and not written, a clipping "
            "after the step, a resume with other batches. The curve goes down all the same."
        ),
        hints=(
            "First without interruptions: open the Shards, seed, build the model, loop over job.steps, publish. The "
            "handout shows the store in ten lines.",
            "The order within a step: rate into every param_group, zero_grad, loss, backward, clip, step. Then log, "
            "and evaluate and save when it is time, and after the last step.",
            "Make batch number n depend on (job.seed, n) alone: a generator seeded from both, or a seed set just "
            "before get_batch. Then a resumed run needs no memory of what it has drawn.",
            "The run folder is found by everything that decides the outcome: hash the job without store, runs and "
            "name, and put the hash into the folder's name. Checkpoints: write beside, then os.replace.",
            "Traps: the optimizer's state and the step belong into the checkpoint, and so does the log; the same job "
            "must give the same artifact, so no times in it; loss on the val split without gradients; a setting that "
            "you do not know (init, microbatches) is refused, not passed over.",
        ),
        forbidden=("transformers.Trainer", "transformers.trainer.Trainer"),
        time_limit_seconds=300.0,
    ),
    Exercise(
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
    ),
    written.EXPERIMENT_LOG,
    written.LEARNING_RATE,
    written.BATCH_SIZE_EXPERIMENT,
    written.GENERATE,
    written.LAYER_NORM_ABLATION,
    written.PRE_NORM_ABLATION,
    written.NO_POS_EMB,
    written.SWIGLU_ABLATION,
    written.MAIN_EXPERIMENT,
    written.LEADERBOARD,
)

HOOKS: dict[str, tuple[str, ...]] = {
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
