"""What goes into a kind comes out of it."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.doors.protocols import ClassicConfig, ModelConfig
from shared.errors import ArtifactError, DataError
from shared.store import kinds
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import corpus as corpus_kind
from shared.store.kinds.records import is_measured
from shared.store.kinds.tokenizer import AddedToken, TokenizerFiles, byte_alphabet

ROUND_TRIP = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(
    lambda text: "<|endoftext|>" not in text
)
awkward = st.sampled_from(
    ["", "<|endoftext|", "<", "a<|endoftext", "|>", "\r\n", "\ufeffx", "é" * 9, "x" * 30]
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def save_corpus(store: Store, splits: dict, name: str | None = None) -> Artifact:
    with store.draft("Corpus", config={}, parents={}, name=name) as draft:
        kinds.write_corpus(draft, splits)
    return draft.artifact


def save_tokenizer(store: Store, pattern: str = "gpt2") -> Artifact:
    with store.draft("Tokenizer", config={}, parents={}) as draft:
        vocab = {index: bytes([index]) for index in range(256)} | {256: b"<|endoftext|>"}
        kinds.write_tokenizer(draft, kinds.trained_tokenizer(vocab, [], ["<|endoftext|>"], pattern=pattern))
    return draft.artifact


def save_shards(store: Store, writes: list, vocab_size: int = 257, end: int = 256, **options) -> Artifact:
    parents = options.pop("parents", {})
    with (
        store.draft("Shards", config={}, parents=parents) as draft,
        kinds.ShardWriter(draft, vocab_size, end, **options) as writer,
    ):
        for split, ids, num_bytes in writes:
            writer.write(split, ids, num_bytes=num_bytes)
    return draft.artifact


# --- Corpus ---


@ROUND_TRIP
@given(
    train=st.lists(texts | awkward, min_size=1, max_size=12),
    val=st.lists(texts | awkward, min_size=1, max_size=3),
    chunk=st.integers(1, 40),
)
def test_corpus_round_trip_at_any_chunk_size(store, train, val, chunk):
    reader = kinds.read_corpus(save_corpus(store, {"train": iter(train), "val": val}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus_kind, "_CHUNK_BYTES", chunk)
        assert [*reader.documents("train")] == train
        assert [*reader.documents("val")] == val
    assert set(reader.splits) == {"train", "val"}
    assert reader.num_documents("train") == len(train)
    assert reader.num_bytes("train") == sum(len(text.encode()) for text in train)
    assert reader.path("train").read_bytes() == b"".join(text.encode() + b"<|endoftext|>" for text in train)
    assert reader.nats("train") is None
    assert reader.floor_bits_per_byte("train") is None


def test_a_long_document_is_read_in_linear_time(store):
    text = "<|endoftext" * 400_000
    [read] = kinds.read_corpus(save_corpus(store, {"train": [text]})).documents("train")
    assert read == text


def test_corpus_floor_is_total_nats_over_bytes(store):
    reader = kinds.read_corpus(
        save_corpus(store, {"train": [("ab", 2 * math.log(2)), ("héé", 4 * math.log(2))]})
    )
    nats = reader.nats("train")
    assert nats is not None
    assert nats.tolist() == [2 * math.log(2), 4 * math.log(2)]
    assert reader.floor_bits_per_byte("train") == pytest.approx(6 / 7, rel=1e-15)


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "split 'train' of the corpus has no documents"),
        (["a", "b<|endoftext|>c"], "document 1 of split 'train' contains the marker"),
        (["a", "\ud800"], "document 1 of split 'train' is no valid Unicode"),
        ([("a", 1.0), "b"], "nats for 1 of its 2"),
        ([("a", float("nan"))], "document 0"),
        ([("a", -1.0)], "document 0"),
    ],
)
def test_corpus_refuses(store, documents, message):
    with pytest.raises(DataError, match=message):
        save_corpus(store, {"train": documents})
    assert store.list() == []


def test_unknown_split_lists_those_there_are(store):
    artifact = save_corpus(store, {"train": ["a"], "val": ["b"]})
    with pytest.raises(ArtifactError, match=r"no split 'test'; it has: train, val"):
        kinds.read_corpus(artifact).path("test")
    with pytest.raises(ValueError, match="split name"):
        save_corpus(store, {"../train": ["a"]})


# --- Tokenizer ---


def test_byte_alphabet_is_that_of_gpt2():
    alphabet = byte_alphabet()
    assert len(set(alphabet)) == 256
    assert all(character.isprintable() and not character.isspace() for character in alphabet)
    assert (alphabet[ord(" ")], alphabet[ord("\n")], alphabet[0], alphabet[0xAD]) == ("Ġ", "Ċ", "Ā", "Ń")


tokens = st.binary(min_size=1, max_size=6)


@ROUND_TRIP
@given(
    vocab=st.lists(tokens, min_size=1, max_size=20),
    merges=st.lists(st.tuples(tokens, tokens), max_size=10),
    added=st.lists(
        st.builds(
            AddedToken,
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
            st.just(0),
            *[st.booleans()] * 5,
        ),
        max_size=3,
    ),
    type=st.sampled_from(["bpe", "chars", "bytes"]),
    pattern=st.sampled_from(["gpt2", "llama3", "qwen2"]),
    normalizer=st.sampled_from([None, "NFC"]),
    ignore_merges=st.booleans(),
)
def test_tokenizer_round_trip(store, vocab, merges, added, **options):
    numbered = [replace(token, token_id=len(vocab) + index) for index, token in enumerate(added)]
    everything = [*vocab, *(token.content.encode() for token in numbered)]
    files = TokenizerFiles(dict(enumerate(everything)), merges, tuple(numbered), **options)
    with store.draft("Tokenizer", config={}, parents={}) as draft:
        kinds.write_tokenizer(draft, files)
    assert kinds.read_tokenizer(store.open(draft.artifact.digest, "Tokenizer")) == files


def test_tokenizer_refuses_gaps_and_absent_specials(store):
    with store.draft("EvalReport", config={}, parents={}) as draft:
        (draft.path / "report.json").write_text("{}")
        with pytest.raises(DataError, match="1 is missing"):
            kinds.write_tokenizer(draft, kinds.trained_tokenizer({0: b"a", 2: b"b"}, [], []))
        with pytest.raises(DataError, match="not in the vocabulary"):
            kinds.trained_tokenizer({0: b"a"}, [], ["<end>"])
        with pytest.raises(DataError, match=r"\['<end>'\] have ids outside"):
            kinds.write_tokenizer(draft, TokenizerFiles({0: b"a"}, [], (AddedToken("<end>", 7),)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("type", "unigram"), ("pattern", "o200k"), ("normalizer", "NFKC"), ("pattern_regex", ".")],
)
def test_tokenizer_refuses_what_it_does_not_know(store, name, value):
    source = save_tokenizer(store)
    with store.draft("Tokenizer", config={}, parents={}) as draft:
        for file in source.files:
            shutil.copy(source.file(file), draft.path / file)
        path = draft.path / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(ArtifactError, match=re.escape(repr(value)).replace(r"\'", "'")):
        kinds.read_tokenizer(draft.artifact)


def test_special_tokens_stand_for_no_bytes_and_one_closes_documents():
    vocab = {0: b"ab", 1: b"<s>", 2: b"<tool>", 3: b"<|endoftext|>"}
    added = (AddedToken("<s>", 1), AddedToken("<tool>", 2, special=False), AddedToken("<|endoftext|>", 3))
    files = TokenizerFiles(vocab, [], added)
    assert files.token_bytes().tolist() == [2, 0, 6, 0]
    assert files.end_of_text_id == 3
    with pytest.raises(ArtifactError, match=r"lacks the token '<\|endoftext\|>'.*\['<s>'\]"):
        replace(files, added_tokens=added[:1]).end_of_text_id  # noqa: B018 - the property raises


PLAIN = kinds.trained_tokenizer(
    {0: b"a", 1: b"b", 2: b"c", 3: b"ab", 4: b"abc", 5: b"<e>"}, [(b"a", b"b"), (b"ab", b"c")], ["<e>"]
)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "bytes"},
        {"pattern": "llama3"},
        {"normalizer": "NFC"},
        {"ignore_merges": True},
        {"added_tokens": (AddedToken("<e>", 5, lstrip=True),)},
        {"added_tokens": (AddedToken("<e>", 5), AddedToken("ab", 3, normalized=True))},
        {"vocab": PLAIN.vocab | {6: b"<e>"}, "added_tokens": (AddedToken("<e>", 6),)},
        {"merges": PLAIN.merges[::-1]},
        {"merges": PLAIN.merges * 2},
    ],
)
def test_what_vocabulary_and_merges_cannot_say_is_not_plain(change):
    assert PLAIN.is_plain
    assert not replace(PLAIN, **change).is_plain


# --- Shards ---


@ROUND_TRIP
@given(data=st.data())
def test_shards_round_trip_at_any_file_size(store, data):
    vocab_size = data.draw(st.sampled_from([2, 257, 1 << 16, (1 << 16) + 1, 1 << 20]))
    end = data.draw(st.sampled_from([0, vocab_size - 1]))
    documents = data.draw(
        st.lists(st.lists(st.integers(0, vocab_size - 1), max_size=9), min_size=1, max_size=6)
    )
    shard_tokens = data.draw(st.integers(1, 12))
    stream = [token for document in documents for token in (*document, end)]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    pieces = [stream[left:right] for left, right in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    writes = [("train", piece, len(piece)) for piece in pieces] + [
        ("val", np.array([end], dtype=np.uint32), 0)
    ]
    artifact = save_shards(store, writes, vocab_size, end, shard_tokens=shard_tokens)

    shards = kinds.read_shards(store.open(artifact.digest, "Shards"))
    read = shards.tokens("train")
    assert read.tolist() == stream
    assert read.dtype == (np.uint16 if vocab_size <= 1 << 16 else np.uint32)
    assert shards.num_tokens("train") == len(stream)
    assert shards.num_documents("train") == stream.count(end)
    assert shards.num_bytes("train") == len(stream)
    assert (shards.vocab_size, shards.end_of_text_id, set(shards.splits)) == (
        vocab_size,
        end,
        {"train", "val"},
    )
    num_files = sum(name.startswith("train-") for name in artifact.files)
    assert num_files == -(-len(stream) // shard_tokens)


def test_one_file_is_mapped_and_bytes_are_little_endian(store):
    artifact = save_shards(store, [("train", [0x0102, 256], 2)], vocab_size=1000)
    shards = kinds.read_shards(artifact)
    assert isinstance(shards.tokens("train"), np.memmap)
    assert not shards.tokens("train").flags.writeable
    assert artifact.file("train-00000.bin").read_bytes() == b"\x02\x01\x00\x01"


def test_several_files_are_copied_only_up_to_a_bound(store):
    shards = kinds.read_shards(save_shards(store, [("train", [1, 2, 256], 2)], shard_tokens=2))
    assert shards.tokens("train", largest_copy_bytes=6).tolist() == [1, 2, 256]
    with pytest.raises(ArtifactError, match=r"6 B in 2 files.*larger shard_tokens"):
        shards.tokens("train", largest_copy_bytes=5)


@pytest.mark.parametrize(
    ("writes", "message"),
    [
        ([("train", [1, 257], 2)], "token id 257 in split 'train' lies outside the vocabulary of 257"),
        ([("train", [-1, 256], 2)], "token id -1"),
        ([("train", [1, 2], 2)], "ends with id 2"),
        ([("train", [], 0)], "has no tokens"),
        ([], "corpus is empty"),
    ],
)
def test_shards_refuse(store, writes, message):
    with pytest.raises(DataError, match=message):
        save_shards(store, writes)
    assert store.list() == []


def test_unknown_text_bytes_are_not_guessed(store):
    shards = kinds.read_shards(save_shards(store, [("train", [1, 256], 3), ("train", [256], None)]))
    with pytest.raises(ArtifactError, match="bits per byte"):
        shards.num_bytes("train")


def test_shards_of_another_tokenizer_are_refused(store):
    ours, theirs = save_tokenizer(store), save_tokenizer(store, "qwen2")
    corpus = save_corpus(store, {"train": ["a"]})
    writes = [("train", [97, 256], 1)]
    same = save_shards(store, writes, parents={"tokenizer": ours.digest, "corpus": corpus.digest})
    other = save_shards(store, writes, parents={"tokenizer": theirs.digest, "corpus": corpus.digest})
    kinds.require_same_tokenizer(same, same)
    kinds.require_same_tokenizer(ours, same)
    with pytest.raises(ArtifactError) as caught:
        kinds.require_same_tokenizer(same, other)
    for part in (
        ours.digest[:12],
        theirs.digest[:12],
        corpus.digest[:12],
        "a1_basics.run.encode --tokenizer=",
    ):
        assert part in str(caught.value)
    with pytest.raises(ArtifactError, match="does not say which tokenizer"):
        kinds.require_same_tokenizer(same, corpus)


# --- Checkpoint and records ---


def test_checkpoint_round_trip_with_tied_weights(store):
    config = ModelConfig(64, 16, 8, 2, 2, 24, tied_embeddings=True, num_kv_heads=1)
    table = torch.arange(512, dtype=torch.float32).reshape(64, 8)
    state = {
        "embedding.weight": table,
        "head.weight": table,
        "half.weight": torch.ones(3, 2, dtype=torch.bfloat16).t(),
        "step": torch.tensor(7),
    }
    digests = set()
    for _ in range(2):
        with store.draft("Checkpoint", config={}, parents={}) as draft:
            kinds.write_checkpoint(draft, config, state, training={"steps": 3})
        digests.add(draft.artifact.digest)
    assert len(digests) == 1
    read_config, read_state = kinds.read_checkpoint(store.open(digests.pop(), "Checkpoint"))
    assert read_config == config
    assert read_state.keys() == state.keys()
    for name, tensor in state.items():
        assert read_state[name].dtype == tensor.dtype
        assert torch.equal(read_state[name], tensor)


def test_checkpoint_asks_for_the_room_it_needs_before_it_writes(store, monkeypatch):
    def save() -> None:
        with store.draft("Checkpoint", config={}, parents={}) as draft:
            kinds.write_checkpoint(draft, ModelConfig(64, 16, 8, 2, 2, 24), {"w": torch.ones(1000, 1000)})

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_999_999))
    with pytest.raises(ArtifactError, match="this Checkpoint wants 4 MB of free space"):
        save()


def test_a_classic_model_is_told_from_the_other_by_its_record_alone(store):
    shape = ClassicConfig(64, 16, d_model=8, num_layers=2, num_heads=2, d_ff=24, dropout=0.1)
    with store.draft("Checkpoint", config={}, parents={}) as draft:
        kinds.write_checkpoint(draft, shape, {"w": torch.ones(1)})
    assert kinds.read_shape(draft.artifact) == shape
    with store.draft("Checkpoint", config={}, parents={}) as draft:
        kinds.write_checkpoint(draft, shape, {"w": torch.ones(1)})
        (draft.path / "model.json").write_text('{"architecture": "mamba", "vocab_size": 3}')
    with pytest.raises(ArtifactError, match="architecture"):
        kinds.read_checkpoint(draft.artifact)


def test_checkpoint_with_unknown_fields_is_refused(store):
    with store.draft("Checkpoint", config={}, parents={}) as draft:
        kinds.write_checkpoint(draft, ModelConfig(64, 16, 8, 2, 2, 24), {"w": torch.ones(1)})
        (draft.path / "model.json").write_text('{"vocab_size": 3, "num_experts": 8}')
    with pytest.raises(ArtifactError, match="num_experts"):
        kinds.read_checkpoint(draft.artifact)


def test_run_log_keeps_measurements_outside_the_digest(store):
    def save(rate: float) -> Artifact:
        records = [{"step": step, "loss_nats": 1.5, "tokens_per_second": rate} for step in range(3)]
        with store.draft("RunLog", config={}, parents={}) as draft:
            kinds.write_run_log(draft, records, {"seed": 1})
        return draft.artifact

    slow, fast = save(10.0), save(99.0)
    assert slow.digest == fast.digest
    config, records = kinds.read_run_log(store.open(slow.digest, "RunLog"))
    assert config == {"seed": 1}
    assert records[2] == {"step": 2, "loss_nats": 1.5, "tokens_per_second": 10.0}
    assert not is_measured("checkpoint_bytes")


def test_samples_and_reports_round_trip(store):
    with store.draft("Samples", config={}, parents={}) as samples:
        kinds.write_samples(samples, [{"prompt": "a", "text": "line\nline \u2028 é"}])
    with store.draft("EvalReport", config={}, parents={}) as report:
        kinds.write_eval_report(report, {"loss_nats": 1.25})
    assert kinds.read_samples(samples.artifact) == [{"prompt": "a", "text": "line\nline \u2028 é"}]
    assert kinds.read_eval_report(report.artifact) == {"loss_nats": 1.25}
