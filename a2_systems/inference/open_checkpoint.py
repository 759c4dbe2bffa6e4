"""From a checkpoint to an engine that answers with it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.device import pick_device
from shared.doors.inference import ChatJob, Engine, EngineConfig, ServeJob
from shared.doors.protocols import ModelConfig, TokenizerLike
from shared.doors.resolve import door
from shared.doors.tokenizers import open_tokenizer
from shared.errors import ConfigError
from shared.store.artifacts import Store
from shared.store.kinds import read_checkpoint, read_tokenizer


@dataclass(frozen=True)
class Served:
    """The model that is talked to."""

    name: str
    tokenizer: TokenizerLike
    leading_ids: tuple[int, ...]  # what every document begins with
    end_token: int | None
    created: int = field(default_factory=lambda: int(time.time()))

    def prompt_ids(self, text: str) -> tuple[int, ...]:
        """The tokens of a document that begins with this text."""
        return (*self.leading_ids, *self.tokenizer.encode(text))

    def talk_ids(self, messages: Sequence[tuple[str, str]], max_length: int) -> tuple[int, ...]:
        """The tokens that a talk is to a model that was taught no roles: what was said, one after the other.

        A talk that would leave less than half of the context to the answer loses its oldest parts, never the last.
        """
        ids = self.prompt_ids("\n\n".join(text for _, text in messages))
        if len(ids) > max_length // 2 and len(messages) > 1:
            return self.talk_ids(messages[1:], max_length)
        return ids

    def text_of(self, token: int) -> str:
        """A token as its own text; half a character is shown as what it is."""
        return self.tokenizer.vocab.get(token, b"").decode("utf-8", errors="replace")


def open_checkpoint(job: ServeJob | ChatJob, config: EngineConfig) -> tuple[Served, Engine]:
    """The model of a checkpoint, and an engine for it: both by the doors of whoever implements them.

    Raises:
        ArtifactError: no such checkpoint, or a damaged one.
        ConfigError: a model that cannot be served.
    """
    store = Store(job.store)
    checkpoint = store.open(job.checkpoint, "Checkpoint")
    files = read_tokenizer(store.open(checkpoint.parents["tokenizer"], "Tokenizer"))
    basics, systems = door("a1_basics", job.impl), door("a2_systems", job.impl)
    tokenizer = open_tokenizer(basics, files)
    shape, weights = read_checkpoint(checkpoint)
    if not isinstance(shape, ModelConfig):
        raise ConfigError(f"{checkpoint} is a GPT-2 (`ClassicConfig`), which the engine does not serve")
    model = basics.build_model(shape)
    model.load_state_dict(weights)
    model.to(pick_device(job.device))
    served = Served(job.checkpoint, tokenizer, tuple(files.leading_ids), files.end_of_text_id)
    return served, systems.build_engine(model, shape, tokenizer, config)
