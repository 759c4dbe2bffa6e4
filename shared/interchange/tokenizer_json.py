"""`tokenizer.json`, in which the Hugging Face ecosystem keeps a tokenizer: written from ours, read into ours.

Written: any byte-level tokenizer of the store. Vocabulary and merges stand in the byte alphabet, the split pattern
is a `Split` and bytes are spelled by `ByteLevel`; `tokenizers` and transformers then give the same ids.

Read: the tokenizers of GPT-2, Llama 3, Qwen2 and Qwen3, and whatever has their parts. A part that would change ids
and is not known here is refused by its name, never skipped. A template that puts tokens before a text (Llama 3 begins
each with `<|begin_of_text|>`) is kept as the tokenizer's `leading_tokens`: encoding adds none, as in transformers when
it is not asked for special tokens, and whoever makes prompts begins with them.

Differs: an added token decodes to its own text. `tokenizers` decodes one made of nothing but characters of the byte
alphabet, such as "é", to those bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.errors import DataError
from shared.store.kinds import AddedToken, TokenizerFiles
from shared.store.kinds.split_patterns import SPLIT_PATTERNS, pattern_name
from shared.store.kinds.tokenizer import bytes_to_text, token_from_text

SUPPORTED = "the tokenizers of GPT-2, Llama 3, Qwen2 and Qwen3: byte-level BPE"
END_OF_TEXT_NAMES = ("<|endoftext|>", "<|end_of_text|>")  # GPT-2 and Qwen; Llama 3
_SWITCHES = ("special", "lstrip", "rstrip", "single_word", "normalized")
_SPECIAL = dict.fromkeys(_SWITCHES, False) | {"special": True}
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def to_tokenizer_json(files: TokenizerFiles) -> dict[str, Any]:
    """The content of `tokenizer.json` for this tokenizer.

    A token that two merges make has two ids here and can have one name there: the higher id, which no text is
    encoded to, is written as `<|unused ID|>`.

    Raises:
        DataError: a tokenizer of characters, or one without all 256 bytes, or an added token that is spelled like
            another token.
    """
    if files.type == "chars":
        raise DataError(
            "a tokenizer of characters has no tokenizer.json: what that file describes drops characters that it "
            "has not seen, where ours refuses them. Export a tokenizer of kind bpe or bytes."
        )
    missing = [byte for byte in range(256) if bytes([byte]) not in set(files.vocab.values())]
    if missing:
        raise DataError(
            f"the vocabulary lacks the bytes {missing[:5]} and in all {len(missing)}: in a tokenizer.json text with "
            "them would vanish silently. Add all 256 bytes to the vocabulary."
        )
    names = {token.token_id: token.content for token in files.added_tokens}
    spelled: dict[str, int] = {content: token_id for token_id, content in names.items()}
    for index, token in sorted(files.vocab.items()):
        if index in names:
            continue
        text = bytes_to_text(token)
        taken = spelled.setdefault(text, index)
        if taken in names:
            raise DataError(
                f"the added token {text!r} is spelled like the token {token!r}, id {index}: a tokenizer.json cannot "
                "tell them apart. Give the added token another name."
            )
        if taken != index:
            spelled[f"<|unused {index}|>"] = index
    split = {
        "type": "Split",
        "pattern": {"Regex": SPLIT_PATTERNS[files.pattern]},
        "behavior": "Isolated",
        "invert": False,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token.token_id, "content": token.content}
            | {name: getattr(token, name) for name in _SWITCHES}
            for token in sorted(files.added_tokens, key=lambda token: token.token_id)
        ],
        "normalizer": {"type": files.normalizer} if files.normalizer else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, _BYTE_LEVEL]},
        "post_processor": _post_processor(files),
        "decoder": _BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": files.ignore_merges,
            "vocab": dict(sorted(spelled.items(), key=lambda item: item[1])),
            "merges": [[bytes_to_text(left), bytes_to_text(right)] for left, right in files.merges],
        },
    }


def write_tokenizer_json(path: Path, files: TokenizerFiles) -> None:
    """Write this tokenizer as a `tokenizer.json`.

    Raises:
        DataError: it cannot be written so (see `to_tokenizer_json`).
    """
    text = json.dumps(to_tokenizer_json(files), ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def read_tokenizer_json(path: Path, end_of_text: str = "") -> TokenizerFiles:
    """The tokenizer in a `tokenizer.json`; `end_of_text` names the token that closes a document, if it is unusual.

    Raises:
        DataError: the file cannot be read, or has a part that is not supported; the part is named.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a tokenizer.json: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise DataError(f"{path} is no tokenizer.json: it has no model. Give the file of that name.")
    try:
        return from_tokenizer_json(content, end_of_text)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} does not follow the layout of a tokenizer.json: {error!r}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_gpt2_files(vocab: Path, merges: Path) -> TokenizerFiles:
    """The tokenizer in the two files of GPT-2's release, `encoder.json` and `vocab.bpe`.

    Raises:
        DataError: a file cannot be read or is not of this form.
    """
    try:
        spelled = json.loads(vocab.read_text(encoding="utf-8"))
        lines = merges.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{vocab} and {merges} cannot be read as GPT-2's two files: {error}") from error
    first = 1 if lines[0].startswith("#version") else 0
    added = [name for name in END_OF_TEXT_NAMES if name in spelled]
    content = {
        "added_tokens": [{"id": spelled[name], "content": name} | _SPECIAL for name in added],
        "pre_tokenizer": _BYTE_LEVEL | {"use_regex": True},
        "decoder": _BYTE_LEVEL,
        "model": {"vocab": spelled, "merges": [line for line in lines[first:] if line]},
    }
    return from_tokenizer_json(content)


def from_tokenizer_json(content: Mapping[str, Any], end_of_text: str = "") -> TokenizerFiles:
    """The tokenizer that the content of a `tokenizer.json` describes.

    Raises:
        DataError: a part that is not supported, or ids that do not fit together.
    """
    model = content["model"]
    for key in ("truncation", "padding"):
        _refuse_unless(
            content.get(key) is None, key, content.get(key), "null: lengths are the batch's business here"
        )
    _check_model(model)
    normalizer = _normalizer(content.get("normalizer"))
    pattern = _pattern(content.get("pre_tokenizer"))
    _check_ending("post_processor", content.get("post_processor"), ("ByteLevel", "TemplateProcessing"))
    _check_ending("decoder", content.get("decoder"), ("ByteLevel",))
    _refuse_unless(content.get("decoder") is not None, "the decoder", None, "ByteLevel")
    added = tuple(
        _added_token(entry, model["vocab"], normalizer) for entry in content.get("added_tokens") or ()
    )
    vocab = _vocab(model["vocab"], added)
    merges = [_merge(entry) for entry in model["merges"]]
    names = [token.content for token in added]
    closing = end_of_text or next((name for name in END_OF_TEXT_NAMES if name in names), "")
    if closing not in names:
        raise DataError(
            f"no added token {closing or ' or '.join(END_OF_TEXT_NAMES)!r} that would close a document; there are "
            f"{names[:20]}. Name one: --end-of-text=TOKEN"
        )
    leading = leading_tokens(content)
    unknown = [name for name in leading if name not in names]
    if unknown:
        raise DataError(f"the template begins a text with {unknown}, which are no added tokens: {names[:20]}")
    ignore_merges = bool(model.get("ignore_merges"))
    return TokenizerFiles(
        vocab, merges, added, "bpe", pattern, normalizer, ignore_merges, closing, tuple(leading)
    )


def leading_tokens(content: Mapping[str, Any]) -> list[str]:
    """The special tokens that the file's template puts before a text."""
    template = next(
        (
            part
            for part in _parts(content.get("post_processor"), "processors")
            if part["type"] == "TemplateProcessing"
        ),
        {"single": []},
    )
    leading = []
    for entry in template["single"]:
        if "SpecialToken" not in entry:
            break
        leading.append(entry["SpecialToken"]["id"])
    return leading


def _post_processor(files: TokenizerFiles) -> dict[str, Any]:
    """What puts the leading tokens before a text; of a pair, before both, as Llama 3's does."""
    if not files.leading_tokens:
        return _BYTE_LEVEL
    ids = dict(zip(files.leading_tokens, files.leading_ids, strict=True))

    def begun(text: str, type_id: int) -> list[dict[str, Any]]:
        leading = [{"SpecialToken": {"id": name, "type_id": type_id}} for name in files.leading_tokens]
        return [*leading, {"Sequence": {"id": text, "type_id": type_id}}]

    template = {
        "type": "TemplateProcessing",
        "single": begun("A", 0),
        "pair": begun("A", 0) + begun("B", 1),
        "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in ids},
    }
    return {"type": "Sequence", "processors": [_BYTE_LEVEL, template]}


def _refuse_unless(is_known: bool, part: str, found: object, wanted: str) -> None:
    if not is_known:
        shown = json.dumps(found, ensure_ascii=False)
        shown = shown if len(shown) <= 300 else shown[:300] + "…"
        raise DataError(
            f"{part} is {shown}, which is not supported; wanted {wanted}. Supported are {SUPPORTED}."
        )


def _check_model(model: Mapping[str, Any]) -> None:
    _refuse_unless(model.get("type", "BPE") == "BPE", "the model's type", model.get("type"), "BPE")
    for key in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        _refuse_unless(not model.get(key), f"the model's {key}", model.get(key), "none")


def _normalizer(part: Mapping[str, Any] | None) -> str | None:
    found = _parts(part, "normalizers")
    _refuse_unless(
        all(one == {"type": "NFC"} for one in found),
        "the normalizer",
        part,
        'none, or {"type": "NFC"} (Qwen)',
    )
    return "NFC" if found else None


def _pattern(part: Mapping[str, Any] | None) -> str:
    """The split pattern's name: of a `Split` before `ByteLevel`, or of `ByteLevel` with its own regex, GPT-2's."""
    wanted = "ByteLevel with its own regex (GPT-2), or a Split by the pattern of " + ", ".join(SPLIT_PATTERNS)
    stages = _parts(part, "pretokenizers")
    _refuse_unless(bool(stages) and stages[-1].get("type") == "ByteLevel", "the pre_tokenizer", part, wanted)
    byte_level = stages[-1]
    _refuse_unless(
        not byte_level.get("add_prefix_space", True),
        "ByteLevel's add_prefix_space",
        True,
        "false: text as it stands",
    )
    own_regex = byte_level.get("use_regex", True)
    if len(stages) == 1 and own_regex:
        return "gpt2"
    _refuse_unless(len(stages) == 2 and not own_regex, "the pre_tokenizer", part, wanted)
    split = stages[0]
    pattern = split.get("pattern", {})
    name = pattern_name(pattern.get("Regex", "")) if split.get("type") == "Split" else None
    is_known = name is not None and split.get("behavior") == "Isolated" and not split.get("invert")
    _refuse_unless(is_known, "the first pre_tokenizer", split, wanted + ', with behavior "Isolated"')
    return str(name)


def _check_ending(role: str, part: Mapping[str, Any] | None, known: tuple[str, ...]) -> None:
    found = _parts(part, "processors" if role == "post_processor" else "decoders")
    is_known = all(one.get("type") in known for one in found)
    _refuse_unless(is_known, f"the {role}", part, " or ".join(known))


def _parts(part: Mapping[str, Any] | None, inner: str) -> list[Mapping[str, Any]]:
    """The parts of a `Sequence`, or the one part, or none."""
    if part is None:
        return []
    return (
        [one for each in part[inner] for one in _parts(each, inner)]
        if part.get("type") == "Sequence"
        else [part]
    )


def _added_token(entry: Mapping[str, Any], vocab: Mapping[str, int], normalizer: str | None) -> AddedToken:
    token = AddedToken(entry["content"], entry["id"], **{name: bool(entry[name]) for name in _SWITCHES})
    listed = vocab.get(token.content, token.token_id)
    if listed != token.token_id:
        raise DataError(
            f"the added token {token.content!r} has id {token.token_id}, and the vocabulary gives it {listed}. "
            "Take the file as its model published it."
        )
    _refuse_unless(
        not (normalizer and token.normalized),
        f"the added token {token.content!r}",
        dict(entry),
        '"normalized": false beside a normalizer, so that it is found before the text changes',
    )
    return token


def _vocab(spelled: Mapping[str, int], added: tuple[AddedToken, ...]) -> dict[int, bytes]:
    names = {token.token_id: token.content for token in added}
    vocab = {index: token_from_text(text) for text, index in spelled.items() if index not in names}
    vocab |= {index: content.encode("utf-8") for index, content in names.items()}
    size = len(spelled.keys() | set(names.values()))
    if sorted(vocab) != list(range(size)):
        raise DataError(
            f"{size:,} tokens have ids from {min(vocab):,} to {max(vocab):,}, some twice or missing; a vocabulary "
            f"uses the ids 0 to {size - 1:,}, each once"
        )
    alphabet = set(vocab.values())
    missing = [byte for byte in range(256) if bytes([byte]) not in alphabet]
    _refuse_unless(not missing, "the vocabulary without the bytes", missing, "all 256 bytes")
    return vocab


def _merge(entry: Any) -> tuple[bytes, bytes]:
    left, right = entry.split(" ") if isinstance(entry, str) else entry
    return token_from_text(left), token_from_text(right)
