"""From a Checkpoint to a Hugging Face directory and back, by the programs; and the text that both sides write."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from a1_basics import adapters as basics
from a1_basics.configs import EVALUATE_LM, EXPORT_HF, GENERATE, IMPORT_HF
from a1_basics.run import evaluate_lm, export_hf, generate, import_hf
from shared.doors.protocols import ClassicConfig, ModelConfig, ModelShape
from shared.store.artifacts import Artifact, Store
from shared.store.kinds import (
    DOCUMENT_END,
    read_checkpoint,
    read_samples,
    read_tokenizer,
    trained_tokenizer,
    write_checkpoint,
    write_tokenizer,
)

PROGRAMS = {export_hf: EXPORT_HF, import_hf: IMPORT_HF, generate: GENERATE, evaluate_lm: EVALUATE_LM}
STORY = "Once upon a time there was a fox.  It had 1234 friends, don't you know?\n\nété 한국어 \t end " * 20
TEXT = STORY[:80] + f"12345 a{DOCUMENT_END}{DOCUMENT_END}\r\n\n  ÉTÉ  'S 'll 日本 e\u0301 x  "
SHAPE = ModelConfig(vocab_size=400, context_length=96, d_model=32, num_layers=2, num_heads=4, d_ff=48)
FAMILIES: dict[str, ModelShape] = {
    "LlamaForCausalLM": dataclasses.replace(SHAPE, tied_embeddings=True, num_kv_heads=2),
    "Qwen3ForCausalLM": dataclasses.replace(SHAPE, qk_norm=True, head_dim=12),
    "biased": dataclasses.replace(SHAPE, qkv_bias=True),
    "GPT2LMHeadModel": ClassicConfig(400, 96, d_model=32, num_layers=2, num_heads=4, d_ff=48),
}


def made(
    name: str, shape: ModelShape = SHAPE, end: str = DOCUMENT_END, begin: str = "", **tokenizer: Any
) -> Artifact:
    """A tokenizer that learned from `STORY` and a model with random weights, sharp enough that greedy text varies."""
    store = Store("artifacts")
    Path("story.txt").write_text(STORY, encoding="utf-8")
    special = [end, begin] if begin else [end]
    vocab, merges = basics.run_train_bpe("story.txt", SHAPE.vocab_size, special)
    with store.draft("Tokenizer", config={}, parents={}, name=name) as draft:
        write_tokenizer(draft, dataclasses.replace(trained_tokenizer(vocab, merges, special), **tokenizer))
    parents = {"tokenizer": draft.artifact.digest}
    config = dataclasses.replace(shape, vocab_size=len(vocab))
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for key, tensor in basics.build_model(config).state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        scale = 3 if key.startswith("layers.") else 1  # a tied table this strong would only repeat its input
        is_gain = key.endswith("weight") and tensor.ndim == 1
        weights[key] = noise * (scale * tensor.shape[-1] ** -0.5 if tensor.ndim == 2 else 0.5) + is_gain
    with store.draft("Checkpoint", config={}, parents=parents, name=name) as draft:
        write_checkpoint(draft, config, weights)
    return draft.artifact


def greedy_text(run, checkpoint: str, prompt: str) -> str:
    flags = ("--preset", "greedy", "--checkpoint", checkpoint, "--prompts", prompt, "--max-new-tokens", 40)
    status, said = run(generate, *flags, "--name", checkpoint)
    assert status == 0, said
    [sample] = read_samples(Store("artifacts").open(checkpoint, "Samples"))
    return sample["text"]


@pytest.mark.parametrize("shape", FAMILIES.values(), ids=FAMILIES)
def test_export_and_import_change_nothing(run, shape):
    before = made("ours", shape)
    assert run(export_hf, "--checkpoint", "ours", "--out", "new/hf", "--max-shard-bytes", 20_000)[0] == 0
    assert run(import_hf, "--source", "new/hf", "--name", "back")[0] == 0
    store = Store("artifacts")
    back = store.open("back", "Checkpoint")
    (kept_shape, weights), (found_shape, found) = read_checkpoint(before), read_checkpoint(back)
    assert found_shape == kept_shape
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())
    tokenizer = read_tokenizer(store.open(before.parents["tokenizer"], "Tokenizer"))
    assert read_tokenizer(store.open(back.parents["tokenizer"], "Tokenizer")) == tokenizer
    assert greedy_text(run, "back", "Once upon") == greedy_text(run, "ours", "Once upon")
    first = back.digest
    Path("new/hf").rename("elsewhere")
    assert run(import_hf, "--source", "elsewhere", "--name", "again")[0] == 0
    assert store.open("again", "Checkpoint").digest == first  # the content counts, not the place


@pytest.mark.parametrize("shape", FAMILIES.values(), ids=FAMILIES)
def test_hugging_face_writes_the_same_greedy_text(run, shape, request):
    transformers: Any = pytest.importorskip(
        "transformers", reason="not checked: transformers is not installed (make setup EXTRAS=hf)"
    )
    made("ours", shape)
    assert run(export_hf, "--checkpoint", "ours", "--out", "hf")[0] == 0
    tokenizer = transformers.AutoTokenizer.from_pretrained("hf")
    model = transformers.AutoModelForCausalLM.from_pretrained("hf")
    family = request.node.callspec.id
    assert type(model).__name__ == ("LlamaForCausalLM" if family == "biased" else family)
    assert (model.config.eos_token_id, tokenizer.eos_token) == (tokenizer.eos_token_id, DOCUMENT_END)

    ours = basics.build_tokenizer(read_tokenizer(Store("artifacts").open("ours", "Tokenizer")))
    assert tokenizer(TEXT)["input_ids"] == ours.encode(TEXT)
    assert tokenizer.decode(ours.encode(TEXT)) == TEXT

    prompt = "Once upon"
    prompt_ids = tokenizer(tokenizer.bos_token + prompt, return_tensors="pt")
    generated = model.generate(**prompt_ids, max_new_tokens=40, do_sample=False)[0]
    theirs = tokenizer.decode(generated[prompt_ids["input_ids"].shape[1] :], skip_special_tokens=True)
    assert len(set(theirs)) > 5  # no single letter again and again: that would show little
    assert theirs == greedy_text(run, "ours", prompt)


def test_a_prompt_begins_as_the_imported_tokenizer_says(run):
    """A Llama that puts a token before each text: Hugging Face adds it by itself, and generate begins with it too."""
    transformers: Any = pytest.importorskip(
        "transformers", reason="not checked: transformers is not installed (make setup EXTRAS=hf)"
    )
    made("ours", begin="<|begin|>", leading_tokens=("<|begin|>",), pattern="llama3", ignore_merges=True)
    made("without", begin="<|begin|>", pattern="llama3", ignore_merges=True)
    assert run(export_hf, "--checkpoint", "ours", "--out", "hf")[0] == 0
    assert run(import_hf, "--source", "hf", "--name", "back")[0] == 0
    tokenizer = transformers.AutoTokenizer.from_pretrained("hf")
    model = transformers.AutoModelForCausalLM.from_pretrained("hf")
    prompt_ids = tokenizer("Once upon", return_tensors="pt")
    assert tokenizer.bos_token == "<|begin|>"
    assert prompt_ids["input_ids"][0, 0] == tokenizer.bos_token_id
    generated = model.generate(**prompt_ids, max_new_tokens=40, do_sample=False)[0]
    theirs = tokenizer.decode(generated[prompt_ids["input_ids"].shape[1] :], skip_special_tokens=True)
    assert theirs == greedy_text(run, "back", "Once upon") == greedy_text(run, "ours", "Once upon")
    assert theirs != greedy_text(run, "without", "Once upon")  # the same weights after the token that closes


def test_the_documents_lines_for_transformers_print_our_greedy_text(run, capsys):
    pytest.importorskip(
        "transformers", reason="not checked: transformers is not installed (make setup EXTRAS=hf)"
    )
    made("toy")
    assert run(export_hf, "--checkpoint", "toy", "--out", "build/hf")[0] == 0
    document = (Path(__file__).parents[2] / "docs" / "interchange.md").read_text(encoding="utf-8")
    [lines] = re.findall(r"^```py\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    prompt = "Once upon a time"
    assert f'"{prompt}"' in lines
    ours = greedy_text(run, "toy", prompt)
    exec(compile(lines, "docs/interchange.md", "exec"), {})
    assert capsys.readouterr().out.rstrip("\n") == (prompt + ours).rstrip("\n")


def test_biases_beside_qwens_own_tokenizer_are_a_qwen2(run):
    transformers: Any = pytest.importorskip(
        "transformers", reason="not checked: transformers is not installed (make setup EXTRAS=hf)"
    )
    made("ours", FAMILIES["biased"], pattern="qwen2", normalizer="NFC")
    assert run(export_hf, "--checkpoint", "ours", "--out", "hf")[0] == 0
    ours = basics.build_tokenizer(read_tokenizer(Store("artifacts").open("ours", "Tokenizer")))
    assert type(transformers.AutoModelForCausalLM.from_pretrained("hf")).__name__ == "Qwen2ForCausalLM"
    assert transformers.AutoTokenizer.from_pretrained("hf")(TEXT)["input_ids"] == ours.encode(TEXT)


def test_the_end_of_a_document_has_whatever_name_the_directory_gives_it(run):
    made("ours", end="<stop>")
    assert run(export_hf, "--checkpoint", "ours", "--out", "hf")[0] == 0
    assert run(import_hf, "--source", "hf", "--name", "back")[0] == 0
    assert read_tokenizer(Store("artifacts").open("back", "Tokenizer")).end_of_text == "<stop>"


def test_vocabulary_and_merges_alone_are_enough_for_a_gpt2_only(run):
    before = read_tokenizer(Store("artifacts").open(made("ours").parents["tokenizer"], "Tokenizer"))
    made("classic", FAMILIES["GPT2LMHeadModel"])
    for name in ("classic", "ours"):
        assert run(export_hf, "--checkpoint", name, "--out", name)[0] == 0
        model = json.loads(Path(name, "tokenizer.json").read_text())["model"]
        Path(name, "tokenizer.json").unlink()
        Path(name, "vocab.json").write_text(json.dumps(model["vocab"]))
        Path(name, "merges.txt").write_text(
            "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"])
        )
    assert run(import_hf, "--source", "classic")[0] == 0
    assert read_tokenizer(Store("artifacts").open("imported", "Tokenizer")) == before
    status, said = run(import_hf, "--source", "ours")
    assert (status, "no tokenizer.json" in said) == (2, True)
    assert run(import_hf, "--source", "ours", "--tokenizer", "imported")[0] == 0


def test_half_precision_on_the_way_out_stays_so_on_the_way_in(run):
    made("ours")
    assert run(export_hf, "--preset", "bfloat16", "--checkpoint", "ours", "--out", "hf")[0] == 0
    assert run(import_hf, "--source", "hf", "--name", "back")[0] == 0
    _, weights = read_checkpoint(Store("artifacts").open("back", "Checkpoint"))
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert greedy_text(run, "back", "Once")


def test_a_shorter_context_can_be_asked_for_and_a_longer_one_not(run):
    made("ours")
    assert run(export_hf, "--checkpoint", "ours", "--out", "hf")[0] == 0
    assert run(import_hf, "--source", "hf", "--context-length", 32)[0] == 0
    shape, _ = read_checkpoint(Store("artifacts").open("imported", "Checkpoint"))
    assert shape.context_length == 32
    status, said = run(import_hf, "--source", "hf", "--context-length", 97)
    assert (status, "96 positions" in said) == (2, True)
    made("classic", FAMILIES["GPT2LMHeadModel"])
    assert run(export_hf, "--checkpoint", "classic", "--out", "classic")[0] == 0
    status, said = run(import_hf, "--source", "classic", "--context-length", 32)
    assert (status, "each position" in said) == (2, True)


def test_what_is_there_is_not_overwritten_and_what_a_kill_left_is_cleared(run):
    made("ours")
    Path("hf").mkdir()
    Path(".hf.unfinished").mkdir()
    Path(".hf.unfinished/model.safetensors").write_bytes(b"half")
    assert run(export_hf, "--checkpoint", "ours", "--out", "hf")[0] == 0
    assert sorted(path.name for path in Path().iterdir()) == ["artifacts", "hf", "story.txt"]
    config = Path("hf/config.json").read_bytes()
    status, said = run(export_hf, "--checkpoint", "ours", "--out", "hf")
    assert (status, "already there" in said) == (2, True)
    assert Path("hf/config.json").read_bytes() == config


def test_a_failed_export_leaves_nothing(run, monkeypatch):
    made("ours")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_hf, "write_tokenizer_files", full_disk)
    status, said = run(export_hf, "--checkpoint", "ours", "--out", "hf")
    assert (status, "no space left" in said) == (2, True)
    assert sorted(path.name for path in Path().iterdir()) == ["artifacts", "story.txt"]


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("config.json", {"model_type": "mamba"}, "mamba"),
        ("config.json", {"rope_scaling": {"rope_type": "yarn"}}, "RoPE scaling"),
        ("config.json", {"vocab_size": 300}, "tokens, and the model in hf knows 300"),
        ("config.json", {"hidden_size": 64}, "other shapes"),
        ("tokenizer.json", {"model": {"type": "Unigram"}}, "tokenizer.json"),
    ],
)
def test_a_refused_directory_leaves_no_checkpoint(run, file, changes, said):
    made("ours")
    assert run(export_hf, "--checkpoint", "ours", "--out", "hf")[0] == 0
    path = Path("hf", file)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    status, error = run(import_hf, "--source", "hf")
    assert status == 2
    assert "Traceback" not in error
    assert re.search(said, error)
    assert "imported" not in Store("artifacts").names("Checkpoint")


def test_an_imported_model_is_measured_on_what_one_names(run):
    made("ours")
    assert run(export_hf, "--checkpoint", "ours", "--out", "hf")[0] == 0
    assert run(import_hf, "--source", "hf")[0] == 0
    status, said = run(evaluate_lm, "--checkpoint", "imported")
    assert (status, "--shards=NAME" in said) == (2, True)


def test_a_missing_directory_is_named(run):
    status, said = run(import_hf, "--source", "nowhere")
    assert status == 2
    assert "nowhere" in said
