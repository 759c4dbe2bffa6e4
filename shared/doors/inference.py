"""What crosses stage 2's door when a model is used: how tokens are drawn, what an engine takes, what it gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from shared.errors import ConfigError

FinishReason = Literal["stop", "length", "cancelled"]
"""An end token or stop string; the request's or the model's limit; somebody who no longer waits."""


@dataclass(frozen=True)
class SamplingParams:
    """How the tokens of one request are drawn, and when it ends."""

    max_new_tokens: int = 128  # tokens at most, the end token included
    temperature: float = 1.0  # 0 takes the most probable token; above 1 flattens the distribution
    top_k: int | None = None  # only the k most probable tokens
    top_p: float | None = None  # only the fewest tokens whose probabilities sum to at least p
    min_p: float | None = None  # only tokens at least this fraction as probable as the most probable one
    repetition_penalty: float = 1.0  # above 1: tokens that occurred before become less probable
    seed: int = 0  # of this request's draws: the same seed, prompt and weights give the same tokens
    stop: tuple[str, ...] = ()  # texts that end the answer; they are not part of it
    stop_tokens: tuple[int, ...] = ()  # tokens that end it, such as the end of a document
    num_logprobs: int = 0  # most probable tokens told with each token, beside its own

    def check(self) -> None:
        """Raises: ConfigError: a setting outside its range."""
        rules = {
            "max_new_tokens must be at least 1": self.max_new_tokens >= 1,
            "temperature must not be negative; 0 is greedy": 0 <= self.temperature < float("inf"),
            "top_k must be at least 1, or None for all tokens": self.top_k is None or self.top_k >= 1,
            "top_p must lie in (0, 1], or be None": self.top_p is None or 0 < self.top_p <= 1,
            "min_p must lie in [0, 1], or be None": self.min_p is None or 0 <= self.min_p <= 1,
            "repetition_penalty must be above 0; 1 is none": 0 < self.repetition_penalty < float("inf"),
            "num_logprobs must lie in 0 ... 100": 0 <= self.num_logprobs <= 100,
            "a stop text must not be empty": all(self.stop),
        }
        for rule, holds in rules.items():
            if not holds:
                name = rule.split()[0]
                raise ConfigError(f"{rule}; got {getattr(self, name, self.stop)!r}")


@dataclass(frozen=True)
class EngineConfig:
    """How much an engine takes on at once. None of it changes a token of any answer."""

    page_size: int = 16  # tokens in a page of the cache
    cache_mb: float = 256.0  # MiB of keys and values in all
    max_sequences: int = 64  # requests decoded together
    tokens_per_step: int = 512  # a long prompt is read in chunks, so that others go on meanwhile
    shares_prefixes: bool = True  # prompts that begin alike keep one copy of the pages they have in common
    proposal_tokens: int = 0  # guessed ahead from what the request has said before; 0: none


@dataclass(frozen=True)
class ServeJob:
    """Serve a checkpoint to people and programs."""

    checkpoint: str = "toy"  # name or digest of a Checkpoint
    host: str = "127.0.0.1"  # this machine alone; anything wider needs keys
    port: int = 8000  # 0: any free port
    keys: Path | None = None  # file of hashed API keys; a browser asks for one as a password
    engine: EngineConfig = field(default_factory=EngineConfig)  # how much is taken on at once
    device: str = "auto"  # auto, cpu, cuda or mps
    impl: str = "reference"  # whose tokenizer, model and engine
    store: Path = Path("artifacts")  # where artifacts lie


@dataclass(frozen=True)
class ChatJob:
    """Talk to a checkpoint in the terminal."""

    checkpoint: str = "toy"  # name or digest of a Checkpoint
    max_new_tokens: int = 200  # an answer ends here, or at the end-of-text token
    temperature: float = 0.8  # 0 takes the most probable token, 1 the model's own distribution
    top_p: float | None = 0.95  # keep the fewest tokens whose probabilities sum to at least p
    top_k: int | None = None  # keep only the k most probable tokens
    seed: int = 0  # of the first answer; the next draws with the next
    device: str = "auto"  # auto, cpu, cuda or mps
    impl: str = "reference"  # whose tokenizer, model and engine
    store: Path = Path("artifacts")  # where artifacts lie


@dataclass(frozen=True)
class NewToken:
    """One token of one request, as soon as it is drawn."""

    request: int
    token: int
    logprob: float  # nats, of the model itself: before temperature, penalties and cuts
    top: tuple[tuple[int, float], ...]  # the most probable tokens with theirs
    text: str  # what can be shown by now: whole characters, nothing that may turn out to be a stop text
    finish_reason: FinishReason | None


@dataclass(frozen=True)
class Generation:
    """The whole answer to one request."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]  # nats, as in `NewToken`
    text: str
    finish_reason: FinishReason


@runtime_checkable
class Engine(Protocol):
    """Answers many requests at once, each as if it were alone."""

    @property
    def max_length(self) -> int:
        """Tokens that one request can have, its prompt's included."""
        ...

    def add(self, prompt: Sequence[int], params: SamplingParams) -> int:
        """Take on a request; its number."""
        ...

    def cancel(self, request: int) -> None:
        """Forget a request and free what it holds; one that has ended is none to forget."""
        ...

    def step(self) -> list[NewToken]:
        """Compute once for everybody who waits; the tokens that came of it."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        ...

    def generate(self, prompts: Sequence[Sequence[int]], params: SamplingParams) -> list[Generation]:
        """Answer all prompts; prompt number i draws with `params.seed + i`."""
        ...

    def score(self, tokens: Sequence[int]) -> list[float]:
        """The logprob of every token but the first after those before it, in nats."""
        ...

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Go on with other weights: whoever waits is read anew with them, and keeps the tokens that it has."""
        ...
