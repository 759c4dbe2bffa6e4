"""`tokenizer.json`: the published layouts are read, and whatever would change ids is refused by its name."""

import copy
import json

import pytest

from shared.errors import DataError
from shared.interchange.tokenizer_json import (
    from_tokenizer_json,
    read_tokenizer_json,
    to_tokenizer_json,
)
from shared.store.kinds import trained_tokenizer
from shared.store.kinds.split_patterns import SPLIT_PATTERNS
from shared.store.kinds.tokenizer import AddedToken, TokenizerFiles, byte_alphabet, bytes_to_text

END = "<|endoftext|>"
BYTES = {byte: bytes([byte]) for byte in range(256)}
VOCAB = {bytes_to_text(token): index for index, token in BYTES.items()} | {"Ġt": 256, "Ġthe": 257, "he": 258}
SWITCHES = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def layout(pre_tokenizer, *, names=(END,), normalizer=None, post_processor=None, **model):
    """A file as its model published it, over a small vocabulary."""
    added = [{"id": 259 + index, "content": name} | SWITCHES for index, name in enumerate(names)]
    decoder = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    bpe = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "vocab": VOCAB,
        "merges": ["Ġ t", "h e", "Ġt he"],
    }
    return copy.deepcopy(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": post_processor,
            "decoder": decoder,
            "model": bpe | model,
        }
    )


def split_by(pattern):
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [split, byte_level]}


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
BEGIN = "<|begin_of_text|>"
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": BEGIN, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {BEGIN: {"id": BEGIN, "ids": [259], "tokens": [BEGIN]}},
}
PUBLISHED = {
    "gpt2": layout(
        BYTE_LEVEL,
        post_processor=BYTE_LEVEL,
        continuing_subword_prefix="",
        end_of_word_suffix="",
        fuse_unk=False,
    ),
    "llama3": layout(
        split_by(SPLIT_PATTERNS["llama3"]),
        names=(BEGIN, "<|end_of_text|>"),
        post_processor={"type": "Sequence", "processors": [BYTE_LEVEL, TEMPLATE]},
        ignore_merges=True,
    ),
    "qwen2": layout(
        split_by(SPLIT_PATTERNS["qwen2"]),
        names=(END, "<|im_start|>", "<|im_end|>"),
        normalizer={"type": "NFC"},
        post_processor=BYTE_LEVEL,
        ignore_merges=False,
        byte_fallback=False,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layouts_are_read(name):
    files = from_tokenizer_json(PUBLISHED[name])
    assert files.pattern == name
    assert files.merges == [(b" ", b"t"), (b"h", b"e"), (b" t", b"he")]
    assert files.normalizer == ("NFC" if name == "qwen2" else None)
    assert files.ignore_merges == (name == "llama3")
    assert files.end_of_text == ("<|end_of_text|>" if name == "llama3" else END)
    assert files.vocab[257] == b" the"
    assert files.leading_tokens == ((BEGIN,) if name == "llama3" else ())
    assert files.leading_ids == [files.added_tokens[0].token_id]  # Llama 3's first, or the token that closes
    assert from_tokenizer_json(to_tokenizer_json(files)) == files
    assert files.is_plain == (name == "gpt2")


@pytest.mark.parametrize("name", PUBLISHED)
def test_hugging_face_reads_the_same_from_both_files(name):
    tokenizers = pytest.importorskip("tokenizers", reason="not checked: the hf extra is not installed")
    published = tokenizers.Tokenizer.from_str(json.dumps(PUBLISHED[name]))
    written = tokenizers.Tokenizer.from_str(
        json.dumps(to_tokenizer_json(from_tokenizer_json(PUBLISHED[name])))
    )
    for text in ("the the  other\n\n the 2048", f"It'S é e\u0301 한국 {END} <|im_end|>{BEGIN}"):
        ids = published.encode(text, add_special_tokens=False).ids
        assert written.encode(text, add_special_tokens=False).ids == ids
        whole = published.encode(text, add_special_tokens=True).ids
        assert written.encode(text, add_special_tokens=True).ids == whole
        assert whole == ([259, *ids] if name == "llama3" else ids)
        assert written.decode(ids, skip_special_tokens=False) == published.decode(
            ids, skip_special_tokens=False
        )


def test_patterns_are_the_published_ones_letter_by_letter():
    llama3 = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    assert {
        "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        "llama3": llama3,
        "qwen2": llama3.replace("{1,3}", ""),
    } == SPLIT_PATTERNS


def changed(name, *path_and_value):
    *path, value = path_and_value
    content = copy.deepcopy(PUBLISHED[name])
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return content


REFUSED = {
    "begins a text with .*<.begin.>": changed(
        "llama3",
        "post_processor",
        "processors",
        1,
        "single",
        0,
        "SpecialToken",
        {"id": "<|begin|>", "type_id": 0},
    ),
    'the model\'s type is "Unigram"': changed("gpt2", "model", "type", "Unigram"),
    "the model's dropout is 0.1": changed("gpt2", "model", "dropout", 0.1),
    "the model's unk_token": changed("gpt2", "model", "unk_token", "<unk>"),
    "the model's end_of_word_suffix": changed("gpt2", "model", "end_of_word_suffix", "</w>"),
    "the model's byte_fallback": changed("gpt2", "model", "byte_fallback", True),
    "truncation is": changed("gpt2", "truncation", {"max_length": 9}),
    "padding is": changed("gpt2", "padding", {"pad_id": 0}),
    "the normalizer is .*NFKC": changed("qwen2", "normalizer", {"type": "NFKC"}),
    "the normalizer is .*Lowercase": changed(
        "qwen2", "normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}
    ),
    "the pre_tokenizer is .*Metaspace": changed("gpt2", "pre_tokenizer", {"type": "Metaspace"}),
    "the pre_tokenizer is null": changed("gpt2", "pre_tokenizer", None),
    "add_prefix_space is true": changed("gpt2", "pre_tokenizer", "add_prefix_space", True),
    "the pre_tokenizer is .*Sequence": changed(
        "qwen2", "pre_tokenizer", "pretokenizers", 1, "use_regex", True
    ),
    "the first pre_tokenizer is .*Digits": changed(
        "qwen2", "pre_tokenizer", "pretokenizers", 0, {"type": "Digits"}
    ),
    "the first pre_tokenizer is .*p.Han": changed(
        "qwen2", "pre_tokenizer", "pretokenizers", 0, "pattern", "Regex", r"\p{Han}+"
    ),
    "the first pre_tokenizer is .*Removed": changed(
        "qwen2", "pre_tokenizer", "pretokenizers", 0, "behavior", "Removed"
    ),
    "the post_processor is .*Roberta": changed("gpt2", "post_processor", {"type": "RobertaProcessing"}),
    "the decoder is .*WordPiece": changed("gpt2", "decoder", {"type": "WordPiece"}),
    "the decoder is null": changed("gpt2", "decoder", None),
    "the added token '<.im_end.>' is .*normalized": changed("qwen2", "added_tokens", 2, "normalized", True),
    "has id 300, and the vocabulary gives it 257": changed(
        "gpt2", "added_tokens", 0, {"id": 300, "content": "Ġthe"} | SWITCHES
    ),
    "ids from 0 to 400, some twice or missing": changed("gpt2", "added_tokens", 0, "id", 400),
    "the vocabulary without the bytes is \\[33\\]": changed(
        "gpt2", "model", "vocab", {"!!" if token == "!" else token: index for token, index in VOCAB.items()}
    ),
    "no added token .* that would close a document; there are \\['<s>'\\]": changed(
        "gpt2", "added_tokens", 0, "content", "<s>"
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_would_change_ids_is_refused_by_name(message):
    with pytest.raises(DataError, match=message):
        from_tokenizer_json(REFUSED[message])


def test_a_refusal_says_what_is_supported_and_where_it_was_found(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(REFUSED["truncation is"]))
    with pytest.raises(DataError, match=r"tokenizer.json: truncation is .* Supported are .*Llama 3"):
        read_tokenizer_json(path)
    for text in ("{", "[]", '{"model": 1}', '{"model": {}}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"tokenizer\.json"):
            read_tokenizer_json(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_tokenizer_json(tmp_path / "missing.json")


def test_the_closing_token_can_be_named():
    assert from_tokenizer_json(PUBLISHED["qwen2"], "<|im_end|>").end_of_text == "<|im_end|>"


def test_a_token_with_two_ids_keeps_the_lower():
    twice = BYTES | {256: b"ab", 257: b"bc", 258: b"abc", 259: b"abc", 260: END.encode()}
    merges = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc")]
    content = to_tokenizer_json(trained_tokenizer(twice, merges, [END]))
    assert content["model"]["vocab"]["abc"] == 258
    assert content["model"]["vocab"]["<|unused 259|>"] == 259
    assert len(from_tokenizer_json(content).vocab) == 261


def test_what_the_layout_cannot_say_is_not_written():
    files = trained_tokenizer(BYTES | {256: END.encode()}, [], [END])
    assert from_tokenizer_json(to_tokenizer_json(files)).vocab == files.vocab
    with pytest.raises(DataError, match="tokenizer of characters has no"):
        to_tokenizer_json(trained_tokenizer({0: b"a"}, [], [], type="chars"))
    with pytest.raises(DataError, match=r"lacks the bytes \[1, 2, 3, 4, 5\] and in all 255"):
        to_tokenizer_json(trained_tokenizer({0: b"\0"}, [], []))
    twin = TokenizerFiles(BYTES | {256: b"\xc4\xa0"}, [], (AddedToken(byte_alphabet()[32], 256),))
    with pytest.raises(DataError, match="is spelled like the token b' ', id 32"):
        to_tokenizer_json(twin)
