"""Record what every head of a checkpoint looks at on a few held-out tokens, and show that none looks ahead."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from a1_basics.model.probe import AttentionProbe, largest_change_before
from shared.doors.resolve import door, source_roots
from shared.errors import ConfigError
from shared.runs.program import run_program
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import read_checkpoint, read_shards, read_tokenizer, write_eval_report

INPUTS = {"checkpoint": "Checkpoint"}
OUTPUTS = {"report": "EvalReport"}


@dataclass(frozen=True)
class AttentionMaps:
    """Which model to look into, and at how much text."""

    checkpoint: str = "base"  # name or digest of a Checkpoint
    name: str = "attention"  # the EvalReport's name
    num_tokens: int = 24  # from the start of the held-out text: a map has so many rows and columns
    impl: str = "reference"  # whose model
    store: Path = Path("artifacts")  # where artifacts lie


PRESETS = {"toy": AttentionMaps(), "tiny": AttentionMaps(num_tokens=8)}
DECIMALS = 4  # more than a map can show


def main(config: AttentionMaps) -> None:
    """Publish the EvalReport `config.name`."""
    store = Store(config.store)
    checkpoint = store.open(config.checkpoint, "Checkpoint")
    inputs = {"checkpoint": checkpoint.digest}
    sources = source_roots("a1_basics", config.impl)
    key = step_key("a1_basics.run.attention_probe", config, inputs, sources)
    if already_made(store, key, config.name):
        return
    model_config, weights = read_checkpoint(checkpoint)
    if not 2 <= config.num_tokens <= model_config.context_length:
        raise ConfigError(
            f"num_tokens={config.num_tokens} must lie between 2 and the model's context of "
            f"{model_config.context_length}"
        )
    shards = read_shards(store.open(checkpoint.parents["shards"], "Shards"))
    vocab = read_tokenizer(store.open(checkpoint.parents["tokenizer"], "Tokenizer")).vocab
    ids = [int(token) for token in shards.tokens("val")[: config.num_tokens]]
    model = door("a1_basics", config.impl).build_model(model_config)
    model.load_state_dict(weights)
    model.eval()
    probe, token_ids = AttentionProbe(), torch.tensor([ids])
    with torch.inference_mode():
        model(token_ids, attend=probe)
    if probe.mask is None:
        raise ConfigError(
            f"the model of {config.impl!r} does not call `attend`, so nothing can be seen inside it"
        )
    report = {
        "tokens": [vocab[token].decode("utf-8", errors="replace") for token in ids],
        "mask": probe.mask.int().tolist(),
        "maps": [
            [
                [[round(weight, DECIMALS) for weight in row] for row in head]
                for head in probe.maps[layer][0].tolist()
            ]
            for layer in sorted(probe.maps)
        ],
        "largest_change_before": largest_change_before(model, token_ids, shards.end_of_text_id),
    }
    with store.draft(
        "EvalReport", config=recorded(config), parents=inputs, name=config.name, key=key
    ) as draft:
        write_eval_report(draft, report)
    print(draft.artifact)
    print(f"  the future overwritten, earlier logits change by {report['largest_change_before']:g}")


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
