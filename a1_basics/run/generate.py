"""Sample texts from a checkpoint, and keep them as Samples."""

import dataclasses
import sys

import torch

from a1_basics.configs import GENERATE, Generate
from shared.device import pick_device
from shared.doors.resolve import door, source_roots
from shared.doors.tokenizers import open_tokenizer
from shared.errors import ConfigError
from shared.runs.program import run_program
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import read_checkpoint, read_samples, read_tokenizer, write_samples

INPUTS = {"checkpoint": "Checkpoint"}
OUTPUTS = {"samples": "Samples"}


def main(config: Generate) -> None:
    """Publish the Samples `config.name` and print them."""
    check(config)
    store = Store(config.store)
    checkpoint = store.open(config.checkpoint, "Checkpoint")
    config = dataclasses.replace(config, checkpoint=checkpoint.digest)
    inputs = {"checkpoint": checkpoint.digest}
    key = step_key("a1_basics.run.generate", config, inputs, source_roots("a1_basics", config.impl))
    if already_made(store, key, config.name):
        for sample in read_samples(store.open(config.name, "Samples")):
            show(sample)
        return
    with store.draft("Samples", config=recorded(config), parents=inputs, name=config.name, key=key) as draft:
        samples = []
        for sample in sampled(store, config):
            show(sample)
            samples.append(sample)
        write_samples(draft, samples)
    print(draft.artifact)


def check(config: Generate) -> None:
    """Raises: ConfigError: a setting outside its range."""
    if config.temperature < 0:
        raise ConfigError(f"temperature={config.temperature} must not be negative; 0 is greedy")
    if config.top_k is not None and config.top_k < 1:
        raise ConfigError(f"top_k={config.top_k} must be at least 1; leave it out to keep all tokens")
    if config.top_p is not None and not 0 < config.top_p <= 1:
        raise ConfigError(f"top_p={config.top_p} must lie in (0, 1]; leave it out to keep all tokens")
    if config.max_new_tokens < 1 or config.num_samples < 1:
        raise ConfigError("max_new_tokens and num_samples must be at least 1")


def sampled(store: Store, config: Generate):
    """Each sample as it is made."""
    parts = door("a1_basics", config.impl)
    checkpoint = store.open(config.checkpoint, "Checkpoint")
    files = read_tokenizer(store.open(checkpoint.parents["tokenizer"], "Tokenizer"))
    tokenizer, end_token = open_tokenizer(parts, files), files.end_of_text_id
    model_config, weights = read_checkpoint(checkpoint)
    model = parts.build_model(model_config)
    model.load_state_dict(weights)
    model.to(pick_device(config.device)).eval()
    seed = config.seed
    for prompt in config.prompts:
        for _ in range(config.num_samples):
            # A document begins after the end of another, or with what an imported tokenizer puts before it: that is
            # what the model saw in training.
            prompt_ids = [*files.leading_ids, *tokenizer.encode(prompt)]
            new_ids = list(
                parts.generate_tokens(
                    model,
                    torch.tensor(prompt_ids),
                    config.max_new_tokens,
                    model_config.context_length,
                    config.temperature,
                    config.top_k,
                    config.top_p,
                    seed,
                    end_token,
                )
            )
            ended = new_ids[-1] == end_token
            yield {
                "prompt": prompt,
                "text": tokenizer.decode(new_ids[:-1] if ended else new_ids),
                "temperature": config.temperature,
                "top_k": config.top_k,
                "top_p": config.top_p,
                "seed": seed,
                "finish_reason": "end_of_text" if ended else "length",
            }
            seed += 1


def show(sample: dict[str, object]) -> None:
    """Print one sample under its prompt."""
    print(f"--- seed {sample['seed']}, {sample['finish_reason']}")
    print(f"{sample['prompt']}{sample['text']}".strip("\n"), flush=True)


if __name__ == "__main__":
    sys.exit(run_program(main, GENERATE, inputs=INPUTS, outputs=OUTPUTS))
