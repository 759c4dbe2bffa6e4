"""Learn a byte-pair tokenizer from the training split of a Corpus."""

import dataclasses
import sys

from a1_basics.configs import TRAIN_TOKENIZER, TrainTokenizer
from shared.doors.resolve import door, source_roots
from shared.errors import ConfigError
from shared.runs.program import run_program
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import DOCUMENT_END, read_corpus, write_tokenizer

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
        vocab, merges = door("a1_basics", config.impl).run_train_bpe(
            input_path=corpus.path("train"),
            vocab_size=config.vocab_size,
            special_tokens=list(config.special_tokens),
        )
        write_tokenizer(draft, vocab, merges, config.special_tokens)
    longest = max(
        (token for token in vocab.values() if token.decode("utf-8", "ignore") not in config.special_tokens),
        key=len,
    )
    print(f"{draft.artifact}: {len(vocab):,} tokens, {len(merges):,} merges, longest token {longest!r}")
    if len(vocab) < config.vocab_size:
        print(f"the corpus ran out of pairs to merge: {len(vocab):,} tokens instead of {config.vocab_size:,}")


if __name__ == "__main__":
    sys.exit(run_program(main, TRAIN_TOKENIZER, inputs=INPUTS, outputs=OUTPUTS))
