"""Glues the leftmost pair that is any merge at all, whatever its rank."""

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import pretokens

REJECTED_BY = "test_worked_examples"


class Wrong(bpe.Tokenizer):
    def _encode_plain(self, text):
        ids, known, merges = [], {token: i for i, token in self.vocab.items()}, set(self.merges)
        for word in pretokens(text):
            symbols = [bytes([b]) for b in word.encode()]
            i = 0
            while i + 1 < len(symbols):
                if (symbols[i], symbols[i + 1]) in merges:
                    symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
                    i = max(i - 1, 0)
                else:
                    i += 1
            ids += [known[symbol] for symbol in symbols]
        return ids


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
