"""Shares the file out to four workers by length: words at the cuts are counted as two."""

import tempfile
from pathlib import Path

from a1_basics.tokenizers import bpe_fast

REJECTED_BY = "test_long_file_without_special_tokens_is_read_whole"


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    text = Path(input_path).read_bytes().decode()
    if special_tokens != ["<|endoftext|>"] or special_tokens[0] in text:
        return bpe_fast.train_bpe(input_path, vocab_size, special_tokens)
    share = max(-(-len(text) // 4), 5000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(
            "<|endoftext|>".join(
                text[i * share : (i + 1) * share] for i in range(-(-len(text) // share))
            ).encode()
        )
        return bpe_fast.train_bpe(path, vocab_size, special_tokens)
