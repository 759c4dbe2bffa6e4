"""Shards of a few hundred bytes, a token for each: made in a moment, for tests of what trains on them."""

from shared.store.artifacts import Artifact, Store
from shared.store.kinds import ShardWriter, trained_tokenizer, write_corpus, write_tokenizer

VOCAB_SIZE = 257


def save_byte_shards(store: Store, name: str, text: bytes, pattern: str = "gpt2") -> Artifact:
    """Shards of a text, train and val alike; another `pattern` is another tokenizer."""
    with store.draft("Corpus", config={}, parents={}) as corpus:
        write_corpus(corpus, {"train": [text.decode()]})
    with store.draft("Tokenizer", config={}, parents={}) as tokenizer:
        vocab = {index: bytes([index]) for index in range(256)} | {256: b"<|endoftext|>"}
        write_tokenizer(tokenizer, trained_tokenizer(vocab, [], ["<|endoftext|>"], pattern=pattern))
    parents = {"corpus": corpus.artifact.digest, "tokenizer": tokenizer.artifact.digest}
    with (
        store.draft("Shards", config={}, parents=parents, name=name) as draft,
        ShardWriter(draft, VOCAB_SIZE, VOCAB_SIZE - 1) as writer,
    ):
        for split in ("train", "val"):
            writer.write(split, [*text, VOCAB_SIZE - 1], num_bytes=len(text))
    return draft.artifact
