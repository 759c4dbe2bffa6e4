"""From a Tokenizer artifact to an object that encodes, through the door of whoever implements it."""

from shared.doors.protocols import BasicsDoor, TokenizerLike
from shared.store.kinds.tokenizer import TokenizerFiles


def open_tokenizer(parts: BasicsDoor, files: TokenizerFiles) -> TokenizerLike:
    """The tokenizer of these files.

    The plain kind, which every tokenizer trained here is unless it was asked otherwise, is `get_tokenizer`'s: a
    graded problem, so a learner's own encodes what they train on. Characters are `get_char_tokenizer`'s; the others
    (bytes, published tokenizers) are the hook `build_tokenizer`'s.
    """
    if files.is_plain:
        return parts.get_tokenizer(files.vocab, files.merges, [token.content for token in files.added_tokens])
    if files.type == "chars":
        return parts.get_char_tokenizer(files.vocab, files.special_tokens)
    return parts.build_tokenizer(files)
