"""Opens the file in text mode, which turns CRLF into LF: the tokenizer of another text."""

import tempfile
from pathlib import Path

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_pretokens_follow_gpt2"


def train_on(text, vocab_size, special_tokens):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(text.encode())
        return bpe_fast.train_bpe(path, vocab_size, special_tokens)


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    return train_on(Path(input_path).read_text(encoding="utf-8"), vocab_size, special_tokens)
