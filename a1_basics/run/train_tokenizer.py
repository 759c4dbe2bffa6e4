"""Learn a tokenizer from the training split of a Corpus: byte pairs, or a token for each character or byte."""

import dataclasses
import sys
from pathlib import Path

from a1_basics.configs import TRAIN_TOKENIZER, TrainTokenizer
from shared.doors.resolve import door, source_roots
from shared.errors import ConfigError
from shared.runs.config import did_you_mean
from shared.runs.program import run_program
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import DOCUMENT_END, TokenizerFiles, read_corpus, trained_tokenizer, write_tokenizer
from shared.store.kinds.split_patterns import SPLIT_PATTERNS

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
    if config.pattern not in SPLIT_PATTERNS:
        known, like = ", ".join(SPLIT_PATTERNS), did_you_mean(config.pattern, SPLIT_PATTERNS)
        raise ConfigError(f"pattern={config.pattern!r} is not known{like}; wanted one of: {known}")
    if config.kind != "bpe" and config.pattern != "gpt2":
        raise ConfigError(
            f"pattern={config.pattern} cuts text before bytes are merged, and --kind {config.kind} merges none: "
            "leave --pattern out"
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
    if (
        config.pattern != "gpt2"
    ):  # a hook of its own: a learner's trainer might take the name and pass over it
        found = parts.train_split_bpe(path, config.vocab_size, special, config.pattern)
        return trained_tokenizer(*found, special, pattern=config.pattern)
    vocab, merges = parts.run_train_bpe(input_path=path, vocab_size=config.vocab_size, special_tokens=special)
    return trained_tokenizer(vocab, merges, special)


if __name__ == "__main__":
    sys.exit(run_program(main, TRAIN_TOKENIZER, inputs=INPUTS, outputs=OUTPUTS))
