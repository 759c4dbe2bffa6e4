"""Keeps encoded words in a dict of the module: the next tokenizer gets the ids of the first."""

from a1_basics.tokenizers import bpe

REJECTED_BY = "test_tokenizers_do_not_share_memory"


SEEN = {}


class Wrong(bpe.Tokenizer):
    def _encode_plain(self, text):
        if text not in SEEN:
            SEEN[text] = super()._encode_plain(text)
        return list(SEEN[text])


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
