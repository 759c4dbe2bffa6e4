"""An engine in a thread of its own, for an event loop that must never wait for a pass through the model.

    async with aclosing(worker.answer(prompt, params)) as tokens:
        async for new in tokens: ...

Leaving the block early cancels the request: its pages are free before the next step.
"""

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType

from shared.doors.inference import Engine, NewToken, SamplingParams

Told = NewToken | BaseException


class EngineWorker:
    """One thread that owns the engine; everything that others want of it is put into its inbox."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._tell: dict[int, Callable[[Told], None]] = {}
        self._is_stopping = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)

    @property
    def max_length(self) -> int:
        """Tokens that one request can have, its prompt's included."""
        return self._engine.max_length

    def __enter__(self) -> "EngineWorker":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inbox.put(self._stop)
        self._thread.join()

    async def answer(self, prompt: Sequence[int], params: SamplingParams) -> AsyncGenerator[NewToken, None]:
        """The tokens of an answer as they come.

        Raises:
            ConfigError: a prompt or setting that the engine refuses.
        """
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Told] = asyncio.Queue()  # holds at most the answer
        number: list[int] = []

        def tell(what: Told) -> None:
            loop.call_soon_threadsafe(told.put_nowait, what)

        def begin() -> None:
            try:
                number.append(self._engine.add(prompt, params))
            except Exception as error:
                tell(error)
            else:
                self._tell[number[0]] = tell

        def end() -> None:  # after `begin`, whatever came of it
            for one in number:
                self._tell.pop(one, None)
                self._engine.cancel(one)

        self._inbox.put(begin)
        try:
            while True:
                new = await told.get()
                if isinstance(new, BaseException):
                    raise new
                yield new
                if new.finish_reason is not None:
                    return
        finally:
            self._inbox.put(end)

    async def score(self, tokens: Sequence[int]) -> list[float]:
        """The logprob of every token but the first, each after those before it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[float]] = loop.create_future()

        def compute() -> None:
            try:
                loop.call_soon_threadsafe(future.set_result, self._engine.score(tokens))
            except Exception as error:
                loop.call_soon_threadsafe(future.set_exception, error)

        self._inbox.put(compute)
        return await future

    def _stop(self) -> None:
        self._is_stopping = True
        for number, tell in [*self._tell.items()]:
            self._engine.cancel(number)
            tell(RuntimeError("the engine was stopped"))

    def _work(self) -> None:
        while not self._is_stopping:
            if self._engine.is_idle:
                self._inbox.get()()
            while not self._inbox.empty():
                self._inbox.get()()
            try:
                for new in self._engine.step():
                    tell = self._tell.get(new.request)
                    if tell is not None:
                        tell(new)
                    if new.finish_reason is not None:
                        self._tell.pop(new.request, None)
            except Exception as error:  # a step failed for all: tell them, and be ready for others
                for number, tell in [*self._tell.items()]:
                    self._engine.cancel(number)
                    tell(error)
                self._tell.clear()
