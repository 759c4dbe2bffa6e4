"""Takes the longest token of the vocabulary at each place instead of replaying the merges."""

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import pretokens

REJECTED_BY = "test_worked_examples"


class Wrong(bpe.Tokenizer):
    def _encode_plain(self, text):
        ids, known = [], {token: i for i, token in self.vocab.items()}
        for word in pretokens(text):
            data = word.encode()
            while data:
                length = next(n for n in range(len(data), 0, -1) if data[:n] in known)
                ids.append(known[data[:length]])
                data = data[length:]
        return ids


def get_tokenizer(vocab, merges, special_tokens=None):
    return Wrong(vocab, merges, special_tokens)
