"""A model behind OpenAI's interface: /v1/models, /v1/completions, /v1/chat/completions, whole or as a stream.

app = openai_app(Served("toy", tokenizer, leading_ids, end_token), worker)
"""

import asyncio
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from a2_systems.inference import openai_requests
from a2_systems.inference.open_checkpoint import Served
from a2_systems.inference.openai_requests import Asked
from a2_systems.inference.worker import EngineWorker
from shared.doors.inference import NewToken
from shared.errors import ConfigError
from shared.serve.answers import EXCEPTION_HANDLERS, Refused
from shared.serve.bodies import ClientGoneError
from shared.serve.refusals import Refusal
from shared.serve.streams import EventStream


@dataclass
class Choice:
    """One answer while it comes."""

    index: int
    prompt: tuple[int, ...]
    tokens: list[NewToken] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(new.text for new in self.tokens)

    @property
    def finish_reason(self) -> str | None:
        return self.tokens[-1].finish_reason if self.tokens else None


def openai_app(served: Served, worker: EngineWorker) -> Starlette:
    """The application."""

    def models(request: Request) -> Response:
        one = {"id": served.name, "object": "model", "created": served.created, "owned_by": "lm-workspace"}
        return JSONResponse({"object": "list", "data": [one]})

    async def completions(request: Request) -> Response:
        asked = openai_requests.completion(openai_requests.read_body(await request.body()), served.name)
        return await _answer(served, worker, request, asked, _Completion(served, asked))

    async def chat(request: Request) -> Response:
        asked = openai_requests.chat(openai_requests.read_body(await request.body()), served.name)
        return await _answer(served, worker, request, asked, _Chat(served, asked))

    routes = [
        Route("/v1/models", models),
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/v1/chat/completions", chat, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)


async def _answer(
    served: Served, worker: EngineWorker, request: Request, asked: Asked, form: "_Form"
) -> Response:
    talk = (served.talk_ids(asked.messages, worker.max_length),) if asked.messages else ()
    prompts = asked.prompts or talk
    ids = [served.prompt_ids(one) if isinstance(one, str) else one for one in prompts]
    choices = [Choice(i, ids[i // asked.num_choices]) for i in range(len(ids) * asked.num_choices)]
    if asked.is_stream:
        stream = form.events(choices, _tokens(worker, served, asked, choices))
        first = await anext(stream)  # what is refused is refused before the stream begins
        return EventStream(_with_first(first, stream))
    await _unless_gone(request, _read_all(_tokens(worker, served, asked, choices)))
    is_scored = asked.is_echo and asked.has_logprobs
    scores = [await worker.score(choice.prompt) if is_scored else [] for choice in choices]
    return JSONResponse(form.whole(choices, scores))


async def _read_all(tokens: AsyncGenerator[tuple[Choice, NewToken], None]) -> None:
    async with aclosing(tokens):
        async for choice, new in tokens:
            choice.tokens.append(new)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, as long as somebody waits for it."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _with_first(first: object, rest: AsyncGenerator[object, None]) -> AsyncGenerator[object, None]:
    async with aclosing(rest):
        yield first
        async for item in rest:
            yield item


async def _tokens(
    worker: EngineWorker, served: Served, asked: Asked, choices: Sequence[Choice]
) -> AsyncGenerator[tuple[Choice, NewToken], None]:
    """The tokens of all choices as they come. Ending this early cancels them all."""
    told: asyncio.Queue[tuple[Choice, NewToken | BaseException | None]] = asyncio.Queue()
    stops = () if served.end_token is None else (served.end_token,)

    async def follow(choice: Choice) -> None:
        params = replace(asked.params, seed=asked.params.seed + choice.index, stop_tokens=stops)
        try:
            async with aclosing(worker.answer(choice.prompt, params)) as tokens:
                async for new in tokens:
                    told.put_nowait((choice, new))
            told.put_nowait((choice, None))
        except Exception as error:
            told.put_nowait((choice, error))

    tasks = [asyncio.create_task(follow(choice)) for choice in choices]
    try:
        open_choices = len(choices)
        while open_choices:
            choice, new = await told.get()
            if isinstance(new, ConfigError):
                raise Refused(Refusal(400, "bad_request", "a request", str(new), "Mend it and send it again"))
            if isinstance(new, BaseException):
                raise new
            if new is None:
                open_choices -= 1
            else:
                yield choice, new
    finally:
        for task in tasks:
            task.cancel()


class _Form(ABC):
    """How answers are written: an object for all, or one for each piece."""

    object_name = piece_name = prefix = ""

    def __init__(self, served: Served, asked: Asked) -> None:
        self.served, self.asked = served, asked
        self.id = f"{self.prefix}-{uuid.uuid4().hex}"
        self.created = int(time.time())

    def whole(self, choices: Sequence[Choice], scores: Sequence[Sequence[float]]) -> dict[str, Any]:
        """The answer in one object."""
        written = [self.choice(choice, score) for choice, score in zip(choices, scores, strict=True)]
        return self._head(self.object_name) | {
            "choices": written,
            "usage": usage(choices, self.asked.num_choices),
        }

    async def events(
        self, choices: Sequence[Choice], tokens: AsyncGenerator[tuple[Choice, NewToken], None]
    ) -> AsyncGenerator[object, None]:
        """The answer in pieces."""
        async with aclosing(tokens):
            async for choice, new in tokens:
                is_first = not choice.tokens
                choice.tokens.append(new)
                if new.text or new.finish_reason or is_first or self.asked.has_logprobs:
                    yield self._head(self.piece_name) | {"choices": [self.piece(choice, new, is_first)]}
        if self.asked.has_usage:
            yield self._head(self.piece_name) | {
                "choices": [],
                "usage": usage(choices, self.asked.num_choices),
            }
        yield "[DONE]"

    def _head(self, name: str) -> dict[str, Any]:
        return {"id": self.id, "object": name, "created": self.created, "model": self.served.name}

    @abstractmethod
    def choice(self, choice: Choice, score: Sequence[float]) -> dict[str, Any]:
        """A whole answer; `score` are the logprobs of its prompt's tokens but the first, where it echoes them."""

    @abstractmethod
    def piece(self, choice: Choice, new: NewToken, is_first: bool) -> dict[str, Any]:
        """One token of an answer."""


class _Completion(_Form):
    object_name = piece_name = "text_completion"
    prefix = "cmpl"

    def choice(self, choice: Choice, score: Sequence[float]) -> dict[str, Any]:
        echoed = list(choice.prompt) if self.asked.is_echo else []
        text = self.served.tokenizer.decode(echoed) + choice.text
        told = self._logprobs(choice.tokens, echoed, [None, *score]) if self.asked.has_logprobs else None
        return {"index": choice.index, "text": text, "logprobs": told, "finish_reason": choice.finish_reason}

    def piece(self, choice: Choice, new: NewToken, is_first: bool) -> dict[str, Any]:
        echoed = list(choice.prompt) if self.asked.is_echo and is_first else []
        told = self._logprobs([new], [], []) if self.asked.has_logprobs else None
        text = self.served.tokenizer.decode(echoed) + new.text
        return {"index": choice.index, "text": text, "logprobs": told, "finish_reason": new.finish_reason}

    def _logprobs(
        self, tokens: Sequence[NewToken], echoed: Sequence[int], scores: Sequence[float | None]
    ) -> dict[str, Any]:
        texts = [self.served.text_of(token) for token in (*echoed, *(new.token for new in tokens))]
        offsets = [0]
        for text in texts:
            offsets.append(offsets[-1] + len(text))
        tops = [{self.served.text_of(token): value for token, value in new.top} for new in tokens]
        return {
            "tokens": texts,
            "token_logprobs": [*scores[: len(echoed)], *(new.logprob for new in tokens)],
            "top_logprobs": [*[None] * len(echoed), *tops],
            "text_offset": offsets[:-1],
        }


class _Chat(_Form):
    object_name, piece_name, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def choice(self, choice: Choice, score: Sequence[float]) -> dict[str, Any]:
        return {
            "index": choice.index,
            "message": {"role": "assistant", "content": choice.text},
            "logprobs": self._logprobs(choice.tokens),
            "finish_reason": choice.finish_reason,
        }

    def piece(self, choice: Choice, new: NewToken, is_first: bool) -> dict[str, Any]:
        delta = ({"role": "assistant"} if is_first else {}) | {"content": new.text}
        told = self._logprobs([new])
        return {"index": choice.index, "delta": delta, "logprobs": told, "finish_reason": new.finish_reason}

    def _logprobs(self, tokens: Sequence[NewToken]) -> dict[str, Any] | None:
        if not self.asked.has_logprobs:
            return None
        told = [
            self._token(new.token, new.logprob) | {"top_logprobs": [self._token(*each) for each in new.top]}
            for new in tokens
        ]
        return {"content": told}

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        own_bytes = list(self.served.tokenizer.vocab.get(token, b""))
        return {"token": self.served.text_of(token), "logprob": logprob, "bytes": own_bytes}


def usage(choices: Sequence[Choice], num_choices: int) -> Mapping[str, int]:
    """Tokens read and written; a prompt counts once, however many answers it has."""
    read = sum(len(choice.prompt) for choice in choices[::num_choices])
    written = sum(len(choice.tokens) for choice in choices)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
