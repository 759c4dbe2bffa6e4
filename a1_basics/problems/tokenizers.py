"""The code problems about tokens: byte-pair encoding and characters.

Hints climb from a nudge to nearly the solution; the last rung names the traps.
"""

from shared.doors.exercise import Exercise

TRAIN_BPE = Exercise(
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
)

TOKENIZER = Exercise(
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
)

CHARS = Exercise(
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
)
