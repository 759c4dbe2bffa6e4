"""Continuous batching: many requests, one pass through the model for each step, every answer as if it were alone.

    engine = PagedEngine(model, config, token_bytes, EngineConfig())
    [answer] = engine.generate([prompt], SamplingParams(temperature=0))

A step is: the scheduler's turns; the tokens of all turns in one row through the model, keys and values in pages; a draw
for every request that is read up to its last token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from a2_systems.inference.last_rows import logits_at
from a2_systems.inference.paged_attention import BatchedPagedAttention, Chunk, PagedCache, page_bytes
from a2_systems.inference.pages import BlockTable, PagePool
from a2_systems.inference.requests import Request, TextStream
from a2_systems.inference.sampling import draw_number, drawn_tokens, token_distributions
from a2_systems.inference.scheduler import Scheduler, Turn
from a2_systems.inference.speculative import looked_up
from shared.doors.inference import EngineConfig, Generation, NewToken, SamplingParams
from shared.doors.protocols import ModelConfig
from shared.errors import ConfigError


class Draw(NamedTuple):
    """A request that draws, and the guesses that were read after its last token."""

    request: Request
    guesses: list[int]


class Drawn(NamedTuple):
    """A token with its logprob in nats, and the most probable ones with theirs."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


class PagedEngine:
    """Serves a model that takes `positions` and `attend`."""

    def __init__(
        self, model: nn.Module, shape: ModelConfig, token_bytes: Mapping[int, bytes], config: EngineConfig
    ) -> None:
        weight = next(model.parameters())
        size = page_bytes(shape, config.page_size, weight.element_size())
        num_pages = int(config.cache_mb * 2**20) // size
        if not num_pages:
            raise ConfigError(
                f"cache_mb={config.cache_mb:g} holds not one page of {size:,} bytes; raise it, or lower page_size"
            )
        self._model, self._shape, self._token_bytes = model.eval(), shape, token_bytes
        self._pool = PagePool(num_pages, config.page_size)
        self._cache = PagedCache(shape, num_pages, config.page_size, weight.dtype, weight.device)
        self._scheduler = Scheduler(self._pool, config)
        self._config = config
        self._requests: dict[int, Request] = {}
        self._next_number = 0

    @property
    def max_length(self) -> int:
        """Tokens that one request can have, its prompt's included: the model's context, if so many fit the cache."""
        return min(self._shape.context_length, self._pool.num_pages * self._pool.page_size)

    def add(self, prompt: Sequence[int], params: SamplingParams) -> int:
        """Take on a request; its number.

        Raises:
            ConfigError: a setting outside its range; a prompt that is empty, too long, or has tokens that are none.
        """
        params.check()
        if not prompt:
            raise ConfigError("the prompt is empty; begin with the token that documents begin with")
        if len(prompt) >= self.max_length:
            raise ConfigError(
                f"a prompt of {len(prompt):,} tokens leaves no room for an answer: prompt and answer together have "
                f"{self.max_length:,} tokens here; shorten it"
            )
        wrong = [token for token in prompt if not 0 <= token < self._shape.vocab_size]
        if wrong:
            raise ConfigError(f"token {wrong[0]} is none of the model's {self._shape.vocab_size:,}")
        number = self._next_number
        self._next_number += 1
        request = Request(
            number,
            len(prompt),
            [*prompt],
            params,
            BlockTable(self._pool),
            TextStream(self._token_bytes, params.stop),
            min(self.max_length, len(prompt) + params.max_new_tokens),
        )
        self._requests[number] = request
        self._scheduler.waiting.append(request)
        return number

    def cancel(self, request: int) -> None:
        """Forget a request and free its pages; nothing happens where it has ended."""
        found = self._requests.pop(request, None)
        if found is not None:
            found.finish_reason = "cancelled"
            self._scheduler.remove(found)

    @property
    def is_idle(self) -> bool:
        """Whether nobody runs or waits."""
        return not self._requests

    @torch.inference_mode()
    def step(self) -> list[NewToken]:
        """One pass through the model for all that run; the tokens that were drawn."""
        if self._config.proposal_tokens:
            self._guess()
        turns = self._scheduler.plan()
        if not turns:
            return []
        for old, new in (copy for turn in turns for copy in turn.copies):
            self._cache.copy_page(old, new)
        draws, logits = self._read(turns)
        drawn = self._draw(draws, logits) if draws else []
        told = [
            new for draw, tokens in zip(draws, drawn, strict=True) for new in self._take(draw.request, tokens)
        ]
        for request in self._scheduler.running:
            if self._config.shares_prefixes:
                request.table.name_full_pages(request.tokens, request.num_cached)
        return told

    def generate(self, prompts: Sequence[Sequence[int]], params: SamplingParams) -> list[Generation]:
        """Answer all prompts; prompt number i draws with `params.seed + i`.

        Raises:
            ConfigError: as in `add`.
        """
        numbers = [
            self.add(prompt, replace(params, seed=params.seed + i)) for i, prompt in enumerate(prompts)
        ]
        requests = [self._requests[number] for number in numbers]
        while any(request.finish_reason is None for request in requests):
            self.step()
        return [
            Generation(
                tuple(one.new_tokens), tuple(one.logprobs), one.stream.text, one.finish_reason or "stop"
            )
            for one in requests
        ]

    @torch.inference_mode()
    def score(self, tokens: Sequence[int]) -> list[float]:
        """The logprob of every token but the first after those before it, in nats; nothing of it is kept."""
        if len(tokens) < 2:
            return []
        logprobs = (
            self._model(torch.tensor([tokens], device=self._cache.keys.device))[0].float().log_softmax(-1)
        )
        return (
            logprobs[:-1].gather(-1, torch.tensor(tokens[1:], device=logprobs.device)[:, None])[:, 0].tolist()
        )

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Go on with other weights: what the cache holds is forgotten, and all that run are read anew."""
        self._model.load_state_dict(weights)
        self._scheduler.put_off_all()
        self._pool.forget_names()

    def _guess(self) -> None:
        """For those who wait for one token: what may follow it, if their text has said so before."""
        for request in self._scheduler.running:
            if request.num_cached == len(request.tokens) - 1:
                count = min(self._config.proposal_tokens, request.max_length - len(request.tokens) - 1)
                request.guesses = looked_up(request.tokens, count)

    def _read(self, turns: Sequence[Turn]) -> tuple[list[Draw], Tensor]:
        """One pass over the tokens of all turns; who draws, and the logits from which."""
        chunks, tokens, rows, draws = [], [], [], []
        for turn in turns:
            request, start = turn.request, turn.request.num_cached
            chunks.append(Chunk(request.table.pages, start, turn.num_tokens))
            tokens += [*request.tokens[start:], *request.guesses][: turn.num_tokens]
            num_guesses = start + turn.num_tokens - len(request.tokens)
            if num_guesses >= 0:
                draws.append(Draw(request, request.guesses[:num_guesses]))
                rows += range(len(tokens) - 1 - num_guesses, len(tokens))
            request.num_cached = min(start + turn.num_tokens, len(request.tokens))
        attend = BatchedPagedAttention(self._cache, chunks)
        ids = torch.tensor([tokens], device=self._cache.keys.device)
        return draws, logits_at(self._model, ids, attend.positions, attend, rows)

    def _draw(self, draws: Sequence[Draw], logits: Tensor) -> list[list[Drawn]]:
        """The tokens of each: those after its guesses, as long as they were right.

        A token is drawn by the number that belongs to its position, guessed or not: with guesses an answer has the very
        tokens that it has without, and the guess x is right with probability p(x).
        """
        logits = logits.float()
        rows = [(draw.request, draw.guesses[:i]) for draw in draws for i in range(len(draw.guesses) + 1)]
        params = [request.params for request, _ in rows]
        earlier = [
            [*one.tokens, *guesses] if one.params.repetition_penalty != 1 else [] for one, guesses in rows
        ]
        numbers = [draw_number(one.params.seed, len(one.tokens) + len(guesses)) for one, guesses in rows]
        drawn = drawn_tokens(token_distributions(logits, params, earlier), numbers)
        logprobs = torch.log_softmax(logits, dim=-1)
        own = logprobs.gather(-1, drawn[:, None])[:, 0].tolist()
        most = min(max(each.num_logprobs for each in params), logprobs.shape[-1])
        values, tokens = (each.tolist() for each in logprobs.topk(most))
        told, row = [], 0
        for draw in draws:
            found = []
            for i in range(len(draw.guesses) + 1):
                token = int(drawn[row + i])
                top = zip(tokens[row + i], values[row + i], strict=True)
                found.append(Drawn(token, own[row + i], tuple(top)[: draw.request.params.num_logprobs]))
                if draw.guesses[i : i + 1] != [token]:
                    break
            told.append(found)
            row += len(draw.guesses) + 1
        return told

    def _take(self, request: Request, drawn: Sequence[Drawn]) -> list[NewToken]:
        """What becomes of a request by its new tokens; all but the last were guessed, and are in the cache."""
        request.num_cached, request.guesses = len(request.tokens) + len(drawn) - 1, []
        told = []
        for token, logprob, top in drawn:
            text = request.take(token, logprob)
            told.append(NewToken(request.number, token, logprob, top, text, request.finish_reason))
            if request.finish_reason is not None:
                self._scheduler.remove(request)
                del self._requests[request.number]
                break
        return told
