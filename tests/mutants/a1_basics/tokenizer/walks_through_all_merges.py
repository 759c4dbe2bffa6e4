"""Right ids, but every merge there is is tried on every word."""

from a1_basics.tokenizers import bpe

REJECTED_BY = "test_speed"


class Wrong(bpe.Tokenizer):
    def _encode_word(self, word):
        symbols = [bytes([b]) for b in word]
        for left, right in self.merges:
            if left in symbols and right in symbols:
                glued = []
                for symbol in symbols:
                    if symbol == right and glued and glued[-1] == left:
                        glued[-1] = left + right
                    else:
                        glued.append(symbol)
                symbols = glued
        return [self._ids[symbol] for symbol in symbols]


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
