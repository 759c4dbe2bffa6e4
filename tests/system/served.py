"""A small model with a tokenizer of characters, served over loopback: what tests of the server and its page ask."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch

from a1_basics.adapters import build_model
from a2_systems.inference.chat_page import page_routes
from a2_systems.inference.engine import PagedEngine
from a2_systems.inference.open_checkpoint import Served
from a2_systems.inference.openai_api import openai_app
from a2_systems.inference.worker import EngineWorker
from shared.doors.inference import EngineConfig
from shared.doors.protocols import ModelConfig
from shared.serve.server import RunningServer, running
from shared.serve.settings import ServerConfig

SHAPE = ModelConfig(128, 96, 32, 2, 4, 64)


class Characters:
    """A token for every ASCII character."""

    vocab: ClassVar = {token: bytes([token]) for token in range(128)}

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode("utf-8", errors="replace")


def small_engine(**settings: Any) -> PagedEngine:
    """Always the same weights; in float64 and with logits far apart, so that a batch changes no token."""
    torch.manual_seed(0)
    model = build_model(SHAPE).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return PagedEngine(
        model, SHAPE, Characters.vocab, EngineConfig(**{"cache_mb": 8.0, "page_size": 4} | settings)
    )


@contextmanager
def serving(engine: Any) -> Iterator[RunningServer]:
    """The engine behind OpenAI's interface and the page, on any free port."""
    config = ServerConfig(port=0, requests_per_second=1e6, burst_requests=10_000)
    with EngineWorker(engine) as worker:
        app = openai_app(Served("tiny", Characters(), (), None), worker)
        app.routes.extend(page_routes())
        with running(app, config) as server:
            yield server
