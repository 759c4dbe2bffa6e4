"""The questions of stage 1 that a person reads: what to hand in, what it costs, what full points need.

Only metadata. Figures are public ones or our estimates at the size that is named, not measurements.
"""

from a1_basics.problems.numeric import LONGEST_TOKEN, TOKENIZER, TOKENIZER_EXPERIMENTS
from a1_basics.problems.numeric import UNICODE2 as UNICODE2_NUMBERS
from shared.doors.exercise import Exercise

UNICODE1 = Exercise(
    id="unicode1",
    title="Characters are not what you see",
    points=1,
    kind="written",
    deliverable="three sentences",
    budget="ten minutes at a prompt",
    why="Whoever cannot say what is in a string cannot say what a tokenizer should keep.",
    rubric=(
        "Names the character with code point 0.",
        "Says how its `repr` differs from what `print` shows, and why there are two.",
        "Says what it does inside a longer text, from having tried it.",
    ),
)

UNICODE2 = Exercise(
    id="unicode2",
    title="Why bytes, and why UTF-8",
    points=3,
    kind="written",
    deliverable="two short paragraphs, and 5 answers in `answers.toml`",
    budget="half an hour at a prompt",
    why="Byte-pair encoding begins with the bytes of an encoding: another encoding is another tokenizer.",
    rubric=(
        "Gives at least two reasons for UTF-8 over UTF-16 and UTF-32 as the ground of a tokenizer, one of them with "
        "a count of bytes on real text.",
        "Explains, for the bytes given in answers.toml, where a decoder of single bytes goes wrong.",
        "Explains from the bit patterns why the two bytes given there can never be text.",
    ),
    questions=UNICODE2_NUMBERS,
)

TRAIN_BPE_TINYSTORIES = Exercise(
    id="train_bpe_tinystories",
    title="A tokenizer of stories",
    points=2,
    kind="written",
    deliverable="a Tokenizer of 10,000 tokens, a paragraph, and 2 answers in `answers.toml`",
    budget="at most 30 min and 30 GB on CPUs for 2.2 GB of text; under 2 min in parallel",
    figures="its longest token is a whole word",
    small="the stories of `make toy`, vocabulary 2,048: seconds",
    why="The first run on real data tells what your trainer spends its time on, and that is seldom what you think.",
    rubric=(
        "States time and peak memory of the training, and on what machine.",
        "Names the longest token and says whether it makes sense in such a text.",
        "Shows a profile, and says which part takes most of the time and why.",
    ),
    questions=(TOKENIZER, LONGEST_TOKEN),
)

TRAIN_BPE_EXPTS_OWT = Exercise(
    id="train_bpe_expts_owt",
    title="A tokenizer of other text",
    points=2,
    kind="written",
    deliverable="a Tokenizer of 32,000 tokens, a comparison, and 2 answers in `answers.toml`",
    budget="at most 12 h and 100 GB on CPUs for 12 GB of web text",
    figures="its longest tokens are rubbish of the web",
    small="Python's own library as text, vocabulary 4,096: under a minute",
    why="A vocabulary is a picture of its corpus, mistakes and all; this is where you see them.",
    rubric=(
        "Names the longest token and says where in the corpus it comes from.",
        "Compares the two vocabularies by what they share and what each alone has, with examples.",
        "Draws a conclusion about text that neither was trained on.",
    ),
    questions=(TOKENIZER, LONGEST_TOKEN),
)

TOKENIZER_EXPERIMENTS_READ = Exercise(
    id="tokenizer_experiments",
    title="What a tokenizer is worth",
    points=4,
    kind="written",
    deliverable="a paragraph, both corpora as Shards, and 8 answers in `answers.toml`",
    budget="minutes on one core",
    figures="3.9 bytes per token for the toy's 2,048 tokens on its own stories",
    small="as it is, on the two small tokenizers above",
    why="Bytes per token set the price of every later run: twice as many halve the cost of the same text.",
    rubric=(
        "Interprets both bytes per token: what happens to text that a tokenizer was not trained on, and why.",
        "States how the speed was measured (text, its size, cold or warm) and what the Pile would take.",
        "Says why uint16 is enough for these ids, what it saves, and when it is not.",
    ),
    questions=TOKENIZER_EXPERIMENTS,
)

LEARNING_RATE_TUNING = Exercise(
    id="learning_rate_tuning",
    title="Four learning rates on a toy",
    points=1,
    kind="written",
    deliverable="a table of losses and one or two sentences",
    budget="seconds on one core",
    figures="one rate of the four diverges",
    why="The smallest problem on which every behaviour of a learning rate can be seen.",
    rubric=(
        "Gives the losses over ten steps of plain gradient descent at rates 1, 10, 100 and 1,000.",
        "Says for each whether it falls, how fast, or diverges, and from which rate on.",
    ),
)

EXPERIMENT_LOG = Exercise(
    id="experiment_log",
    title="A log of everything tried",
    points=3,
    kind="written",
    deliverable="the log itself, and how it is kept",
    budget="no training of its own",
    why="A run whose settings are forgotten never happened.",
    rubric=(
        "Every run of the questions below is in it, failed ones too, with what was changed, why, and what came out.",
        "Curves can be drawn over steps and over time, for training and held-out loss.",
        "Settings are recorded by the program, not by hand: any run can be repeated from its record.",
    ),
)

LEARNING_RATE = Exercise(
    id="learning_rate",
    title="The learning rate",
    points=3,
    kind="written",
    deliverable="curves of a sweep, a model, and a paragraph",
    budget="327,680,000 tokens a run; 4 hours of an H100 in all",
    figures="TinyStories: at most 1.45 nats per token; with 40M tokens at most 2.00",
    small="`python -m a1_basics.run.train_lm --preset tiny`, 300 steps, six rates: minutes on two cores",
    why="No other setting matters as much, and the best value lies close below the one that breaks everything.",
    rubric=(
        "At least four rates, spaced by factors, on one figure with held-out loss; the search is explained.",
        "One run diverges, and the text says how the best rate lies to the rate from which training breaks.",
        "The model reaches the figure of its budget (for the small variant: the best of its own sweep).",
    ),
)

BATCH_SIZE_EXPERIMENT = Exercise(
    id="batch_size_experiment",
    title="The batch size",
    points=1,
    kind="written",
    deliverable="curves and two or three sentences",
    budget="2 hours of an H100",
    small="batch sizes 1, 4, 16 and 64 with `--preset tiny`, equal tokens: minutes on two cores",
    why="Larger batches are faster per token and learn less from each; the best is where the two meet.",
    rubric=(
        "At least four sizes from 1 to the limit of memory, the learning rate chosen anew where needed.",
        "Compares loss at equal tokens and at equal time, and says which size you would take and why.",
    ),
)

GENERATE = Exercise(
    id="generate",
    title="What it writes",
    points=1,
    kind="written",
    deliverable="a text of at least 256 tokens, or to its end, and two sentences",
    budget="seconds",
    figures="the toy writes grammatical stories whose heroes change names",
    small="as it is, with the checkpoint of `make toy`",
    why="A loss is a number; reading tells what the number leaves out.",
    rubric=(
        "The text, with the settings it was drawn with.",
        "Judges its fluency, and names at least two things that make it better or worse, one of them tried.",
    ),
)

_ABLATED = (
    "One figure with both curves at equal tokens, all other settings equal.",
    "Says what happened and why, and whether another learning rate would mend it (tried, where it diverges).",
)
_SMALL_ABLATION = "300 steps of `--preset tiny` for each of the two: a minute on two cores"

LAYER_NORM_ABLATION = Exercise(
    id="layer_norm_ablation",
    title="Without norms",
    points=1,
    kind="written",
    deliverable="two curves and a comment",
    budget="1 hour of an H100",
    small=_SMALL_ABLATION,
    why="Norms are what lets a deep model take a large learning rate; without them you see at which it breaks.",
    rubric=(
        "Runs without norms at the rate that was best with them, and at a lower one that is stable.",
        *_ABLATED,
    ),
)

PRE_NORM_ABLATION = Exercise(
    id="pre_norm_ablation",
    title="Norms after instead of before",
    points=1,
    kind="written",
    deliverable="two curves and a comment",
    budget="1 hour of an H100",
    small=_SMALL_ABLATION,
    why="The same parts in another order: the residual stream is free in one and squeezed in the other.",
    rubric=_ABLATED,
)

NO_POS_EMB = Exercise(
    id="no_pos_emb",
    title="Without positions",
    points=1,
    kind="written",
    deliverable="two curves and a comment",
    budget="1 hour of an H100",
    small=_SMALL_ABLATION,
    why="A causal mask already tells a token how many come before it: how much is that worth?",
    rubric=(*_ABLATED, "Says how a model without position information can still tell order."),
)

SWIGLU_ABLATION = Exercise(
    id="swiglu_ablation",
    title="Without the gate",
    points=1,
    kind="written",
    deliverable="two curves and a comment",
    budget="1 hour of an H100",
    small=_SMALL_ABLATION,
    why="A gate is the cheapest improvement of the feed-forward; the comparison is only fair at equal size.",
    rubric=("Both have about as many parameters: the one without a gate is 4 d_model wide.", *_ABLATED),
)

LOST_RUNS = Exercise(
    id="lost_runs",
    title="Four ways to lose a run",
    points=1,
    kind="written",
    deliverable="four pairs of curves and a sentence for each",
    budget="half an hour of an H100",
    small="`--preset toy`: two minutes on two cores",
    why="Whoever has provoked a divergence knows the next one by its curve, before the night is over.",
    rubric=(
        "Predicts, before it runs, which of the four is lost at once, which late and which only a little.",
        "For each pair says what becomes too large (a step, a gradient, a number of sixteen bits) and how the cure "
        "bounds it.",
        "Where a failure was not provoked at this size, says so, and what would provoke it.",
    ),
)

MAIN_EXPERIMENT = Exercise(
    id="main_experiment",
    title="Real text",
    points=2,
    kind="written",
    deliverable="a curve, a text, and a comparison",
    budget="3 hours of an H100: the model and the steps of the story runs, on web text with 32,000 tokens",
    small="Python's own library as corpus, vocabulary 4,096, `--preset a1`: ten minutes on two cores",
    why="Losses on different texts with different tokenizers do not compare; this is where you learn what does.",
    rubric=(
        "A learning curve, and the loss read against the story runs: why it differs, in nats and in bits per byte.",
        "A generated text, judged: why is it worse at the same size and budget?",
    ),
)

LEADERBOARD = Exercise(
    id="leaderboard",
    title="The leaderboard",
    points=6,
    kind="written",
    deliverable="a result card, its curve, and a description of what you changed",
    budget="CPU board: 3 x 10^13 training FLOPs, some ten minutes on two cores; GPU board: one hour of one H100",
    figures="CPU board: 0.236 bits per byte for `make toy`, 0.079 is the floor",
    small="the CPU board is the small variant",
    why="Everything of this stage at once, against a budget that nobody can stretch.",
    rubric=(
        "The card is accepted when it is checked again from the checkpoint.",
        "It beats the baseline of its board.",
        "Says what was tried and what each change was worth, from runs and not from belief; what failed is there too.",
    ),
)
