r"""How text may be cut into pre-tokens: the published patterns, by the model that made each one known.

They differ in three rules that people ask about. Digits: GPT-2 takes a whole run (`2048` is one pre-token), Llama 3
takes up to three from the left (`204`, `8`), Qwen2 takes one. White space: GPT-2 gives line ends no rule of their own;
the other two end a pre-token at a run of line ends, and let any character, not only a space, stand before a word (a
tab, a bracket). Contractions: GPT-2 knows `'s` and not `'S`.

Source: [gpt2-2019], encoder.py of its release; [llama3-2024] and [qwen2-2024], tokenizer files of their releases.
"""

_GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
_GPT2_FACTORED = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
_LLAMA3 = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+"""
)

SPLIT_PATTERNS = {"gpt2": _GPT2, "llama3": _LLAMA3, "qwen2": _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")}
"""Name to regular expression, in the dialect that the `regex` package and Oniguruma share."""

_OTHER_SPELLINGS = {_GPT2_FACTORED: "gpt2"}


def pattern_name(pattern: str) -> str | None:
    """The name of a published pattern, however it was spelled; None for any other.

    >>> pattern_name(SPLIT_PATTERNS["qwen2"]), pattern_name(r"\\w+")
    ('qwen2', None)
    """
    named = {text: name for name, text in SPLIT_PATTERNS.items()} | _OTHER_SPELLINGS
    return named.get(pattern)
