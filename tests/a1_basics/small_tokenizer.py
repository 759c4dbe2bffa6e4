"""A tokenizer whose merges the oracle learned from a few lines, and the comparison with it, id for id."""

from functools import cache

from tests.harness.explain import expect, expect_equal
from tests.oracles import bpe as oracle

END = "<|endoftext|>"
PROSE = (
    "It was said that a new person had appeared on the sea-front: a lady with a little dog. We're told "
    "she'd walked there alone, at 7 or 8 o'clock; nobody knew who she was, and every one called her simply "
    '"the lady with the dog".\n\nThe theme then: these three thieves thought that the other three '
    "weren't there...  Yes!\n"
)

UNICODE = (
    "naïve café, 한국어 띄어쓰기와 조사, 日本語, Ω≈ç√, 👩‍👩‍👧‍👦😀, e\u0301\u0301 ﬁ,"
    " \u00a0\u3000 \ufeff mixed\u200btext"
)

WHY_EXACT = (
    "a model knows only ids: the same text must always give the ids it was trained on, and those are what "
    "replaying the merges in their order gives"
)


@cache
def trained(num_merges: int = 180) -> tuple[dict[int, bytes], tuple[tuple[bytes, bytes], ...]]:
    """A vocabulary of bytes and merges, without special tokens, trained by the oracle."""
    merges = oracle.train(PROSE + UNICODE * 2 + " aaaaaaaa ^^^^ \n\n\n\n" * 2, num_merges, [])
    tokens = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    return dict(enumerate(tokens)), tuple(merges)


def tokenizer(adapters, special_tokens: list[str] | None = None, extra: tuple[str, ...] = ()):
    """The learner's tokenizer over the trained vocabulary, with the `extra` tokens, and that vocabulary."""
    vocab, merges = trained()
    added = [token.encode() for token in extra if token.encode() not in vocab.values()]
    vocab = vocab | {len(vocab) + i: token for i, token in enumerate(added)}
    return adapters.get_tokenizer(dict(vocab), list(merges), special_tokens), vocab


def expect_encoding(
    adapters, text: str, special_tokens: list[str], *, what: str, why: str = WHY_EXACT
) -> None:
    """Encode, and compare with the oracle's tokens, id for id."""
    tok, vocab = tokenizer(adapters, list(special_tokens), extra=tuple(special_tokens))
    ids = {token: i for i, token in vocab.items()}
    want = [ids[token] for token in oracle.encode_to_tokens(text, list(trained()[1]), list(special_tokens))]
    case = f"text {text[:80]!r}{'...' if len(text) > 80 else ''}, special tokens {special_tokens}"
    got = tok.encode(text)
    expect(
        isinstance(got, list), what="encode returns a list of int", why="callers join and index it", case=case
    )
    expect_equal(got, want, what=what, why=why, case=case)
