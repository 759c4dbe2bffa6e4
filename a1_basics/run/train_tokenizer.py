"""Learn a tokenizer from the training split of a Corpus: byte pairs, or a token for each character or byte."""

import dataclasses
import sys
from pathlib import Path

from a1_basics.configs import TRAIN_TOKENIZER, TrainTokenizer
from shared.doors.resolve import door, source_roots
from shared.errors import ConfigError
from shared.runs.program import run_program
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import DOCUMENT_END, TokenizerFiles, read_corpus, trained_tokenizer, write_tokenizer

INPUTS = {"corpus": "Corpus"}
OUTPUTS = {"tokenizer": "Tokenizer"}


def main(config: TrainTokenizer) -> None:
    """Publish the Tokenizer `config.name`."""
    store = Store(config.store)
    source = store.open(config.corpus, "Corpus")
    config = dataclasses.replace(config, corpus=source.digest)
    if DOCUMENT_END not in config.special_tokens:
        raise ConfigError(
            f"special_tokens={config.special_tokens} must hold {DOCUMENT_END}: it closes each document"
        )
    key = step_key(
        "a1_basics.run.train_tokenizer",
        config,
        {"corpus": source.digest},
        source_roots("a1_basics", config.impl),
    )
    if already_made(store, key, config.name):
        return
    corpus = read_corpus(source)
    with store.draft(
        "Tokenizer", config=recorded(config), parents={"corpus": source.digest}, name=config.name, key=key
    ) as draft:
        files = trained(config, corpus.path("train"))
        write_tokenizer(draft, files)
    special = {token.token_id for token in files.added_tokens}
    longest = max((token for index, token in files.vocab.items() if index not in special), key=len)
    print(
        f"{draft.artifact}: {len(files.vocab):,} tokens, {len(files.merges):,} merges, longest token {longest!r}"
    )
    if config.kind == "bpe" and len(files.vocab) < config.vocab_size:
        print(
            f"the corpus ran out of pairs to merge: {len(files.vocab):,} tokens instead of {config.vocab_size:,}"
        )


def trained(config: TrainTokenizer, path: Path) -> TokenizerFiles:
    """The tokenizer that the text at `path` teaches."""
    parts, special = door("a1_basics", config.impl), list(config.special_tokens)
    if config.kind == "chars":
        return trained_tokenizer(parts.run_train_chars(path, special), [], special, type="chars")
    if config.kind == "bytes":
        vocab = {byte: bytes([byte]) for byte in range(256)}
        vocab |= {256 + index: token.encode() for index, token in enumerate(special)}
        return trained_tokenizer(vocab, [], special, type="bytes")
    vocab, merges = parts.run_train_bpe(input_path=path, vocab_size=config.vocab_size, special_tokens=special)
    return trained_tokenizer(vocab, merges, special)


if __name__ == "__main__":
    sys.exit(run_program(main, TRAIN_TOKENIZER, inputs=INPUTS, outputs=OUTPUTS))
