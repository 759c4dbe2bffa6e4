"""The tokenizer programs, end to end: what is imported or trained encodes a corpus, trains a model and generates."""

import json

import numpy as np
import pytest

from a1_basics.configs import Encode, ExportTokenizer, Generate, ImportTokenizer, TrainTokenizer
from a1_basics.run import encode, export_tokenizer, generate, import_tokenizer, train_lm, train_tokenizer
from shared.doors.protocols import ModelConfig, TrainJob
from shared.doors.resolve import door
from shared.doors.tokenizers import open_tokenizer
from shared.errors import ConfigError, DataError
from shared.interchange.tokenizer_json import to_tokenizer_json
from shared.store.artifacts import Store
from shared.store.kinds import (
    AddedToken,
    TokenizerFiles,
    read_samples,
    read_shards,
    read_tokenizer,
    write_corpus,
    write_tokenizer,
)

END = "<|end_of_text|>"
DOCUMENTS = ["cafe\u0301 <tool>\t한국 2048\n\n x", "the the they'LL the", "ab" * 40]
MERGES = [(b" ", b"t"), (b"h", b"e"), (b" t", b"he"), (b"a", b"b")]
TOKENS = [*(bytes([byte]) for byte in range(256)), b" t", b"he", b" the", b"ab", END.encode(), b"<tool>"]
FILES = TokenizerFiles(
    dict(enumerate(TOKENS)),
    MERGES,
    (AddedToken(END, 260), AddedToken("<tool>", 261, special=False, rstrip=True)),
    pattern="qwen2",
    normalizer="NFC",
    end_of_text=END,
)


def test_an_artifact_from_before_there_were_leading_tokens_is_read(store):
    with store.draft("Tokenizer", config={}, parents={}, name="old") as draft:
        write_tokenizer(draft, FILES)
        path = draft.path / "tokenizer_config.json"
        path.write_text(
            json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "leading_tokens"})
        )
    assert read_tokenizer(store.open("old", "Tokenizer")) == FILES


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "artifacts")
    with store.draft("Corpus", config={}, parents={}, name="c") as draft:
        write_corpus(draft, {"train": DOCUMENTS * 3, "val": DOCUMENTS})
    return store


def decoded_documents(store, name, tokenizer_name):
    """Each validation document of the Shards, decoded again."""
    files = read_tokenizer(store.open(tokenizer_name, "Tokenizer"))
    shards = read_shards(store.open(name, "Shards"))
    assert shards.end_of_text_id == files.end_of_text_id
    ids = np.asarray(shards.tokens("val"))
    ends = np.flatnonzero(ids == files.end_of_text_id)
    tokenizer = open_tokenizer(door("a1_basics"), files)
    return [tokenizer.decode(part[:-1].tolist()) for part in np.split(ids, ends + 1) if part.size]


def test_an_imported_tokenizer_survives_publishing_encoding_training_and_generating(store, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(to_tokenizer_json(FILES)), encoding="utf-8")
    import_tokenizer.main(ImportTokenizer(tmp_path, "qwen", store=store.root))
    assert read_tokenizer(store.open("qwen", "Tokenizer")) == FILES
    encode.main(Encode("c", "qwen", "q", store=store.root, runs=store.root.parent / "runs"))
    kept = [DOCUMENTS[0].replace("e\u0301", "é").replace("<tool>\t", "<tool>"), *DOCUMENTS[1:]]
    assert decoded_documents(store, "q", "qwen") == kept
    model = ModelConfig(len(TOKENS), 16, 16, 1, 1, 16)
    places = {"store": store.root, "runs": tmp_path / "runs"}
    train_lm.main(
        TrainJob(model, "q", "m", steps=2, warmup_steps=1, batch_size=1, evaluate_batches=1, **places)
    )
    generate.main(Generate("m", ("the 한국 <tool>",), name="m", max_new_tokens=4, store=store.root))
    [sample] = read_samples(store.open("m", "Samples"))
    assert sample["prompt"] == "the 한국 <tool>"
    assert store.open("m", "Checkpoint").parents["tokenizer"] == store.open("qwen", "Tokenizer").digest
    export_tokenizer.main(ExportTokenizer("qwen", tmp_path / "out", store.root))
    written = json.loads((tmp_path / "out" / "tokenizer.json").read_text(encoding="utf-8"))
    assert written == to_tokenizer_json(FILES)


@pytest.mark.parametrize("kind", ["bpe", "chars", "bytes"])
def test_every_kind_is_trained_encodes_and_comes_back(store, kind):
    train_tokenizer.main(TrainTokenizer("c", kind, kind, vocab_size=270, store=store.root))
    encode.main(Encode("c", kind, kind, store=store.root, runs=store.root.parent / "runs"))
    assert decoded_documents(store, kind, kind) == DOCUMENTS


def test_text_is_cut_by_the_pattern_that_was_asked_for(store):
    runs = store.root.parent / "runs"
    train_tokenizer.main(TrainTokenizer("c", "t", vocab_size=270, pattern="qwen2", store=store.root))
    files = read_tokenizer(store.open("t", "Tokenizer"))
    assert files.pattern == "qwen2"
    assert not any(len(token) > 1 and token.strip().isdigit() for token in files.vocab.values())
    encode.main(Encode("c", "t", "t", store=store.root, runs=runs))
    assert decoded_documents(store, "t", "t") == DOCUMENTS


@pytest.mark.parametrize(
    ("asked", "word"),
    [({"pattern": "qwen"}, "qwen2"), ({"pattern": "llama3", "kind": "bytes"}, "--kind bytes")],
)
def test_a_pattern_that_cannot_be_is_refused(store, asked, word):
    with pytest.raises(ConfigError, match=word):
        train_tokenizer.main(TrainTokenizer("c", "t", store=store.root, **asked))


def test_a_character_that_training_did_not_see_stops_encoding_by_name(store):
    with store.draft("Corpus", config={}, parents={}, name="other") as draft:
        write_corpus(draft, {"train": ["the\ntheλ"]})
    train_tokenizer.main(TrainTokenizer("c", "chars", "chars", store=store.root))
    with pytest.raises(DataError, match=r"'λ' \(U\+03BB\) at line 2, column 4"):
        encode.main(Encode("other", "chars", "o", store=store.root, runs=store.root.parent / "runs"))
    assert "o" not in store.names("Shards")


def test_what_cannot_be_imported_or_written_says_what_was_wanted(store, tmp_path):
    with pytest.raises(ConfigError, match=r"wanted a tokenizer\.json, or a folder with one of"):
        import_tokenizer.main(ImportTokenizer(tmp_path / "nowhere", store=store.root))
    train_tokenizer.main(TrainTokenizer("c", "chars", "chars", store=store.root))
    with pytest.raises(DataError, match="tokenizer of characters has no"):
        export_tokenizer.main(ExportTokenizer("chars", tmp_path / "out", store.root))
