"""Who is served in a step: all that run go on by a token, prompts are read in the room that is left, as memory allows.

When pages run out, the request that came last gives its own back and waits at the front of the queue; later it is read
anew, from its prompt to its last token. Whoever came first is never put off for others, so somebody always gets on.

Source: [orca-2022] section 3.1 (iteration-level scheduling), [sarathi-2024] section 4 (chunked prefill).
"""

from collections import deque
from dataclasses import dataclass

from a2_systems.inference.pages import OutOfPages, PagePool
from a2_systems.inference.requests import Request
from shared.doors.inference import EngineConfig


@dataclass(frozen=True)
class Turn:
    """What one request does in a step: it reads this many of its tokens, after some pages were copied for it."""

    request: Request
    num_tokens: int
    copies: list[tuple[int, int]]


class Scheduler:
    """The queue and those who run, in the order in which they came."""

    def __init__(self, pool: PagePool, config: EngineConfig) -> None:
        self._pool, self._config = pool, config
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []

    def plan(self) -> list[Turn]:
        """The turns of the next step: at most `tokens_per_step` tokens, of at most `max_sequences` requests."""
        room, turns = self._config.tokens_per_step, []
        num_waiting = len(self.waiting)
        for request in [*self.running]:
            if room and (turn := self._turn(request, room)):
                turns.append(turn)
                room -= turn.num_tokens
        was_put_off = len(self.waiting) > num_waiting
        while (
            room and not was_put_off and self._begins_next() and (turn := self._turn(self.running[-1], room))
        ):
            turns.append(turn)
            room -= turn.num_tokens
        return turns

    def remove(self, request: Request) -> None:
        """Forget a request, wherever it stands, and free its pages."""
        if request in self.running:
            self.running.remove(request)
        elif request in self.waiting:
            self.waiting.remove(request)
        request.table.free()

    def put_off_all(self) -> None:
        """Everybody is read anew."""
        while self.running:
            self._put_off(self.running[-1])

    def _begins_next(self) -> bool:
        """Whether the first in the queue runs now: there is a place for it, and pages for all that it has to read."""
        if not self.waiting or len(self.running) >= self._config.max_sequences:
            return False
        request = self.waiting[0]
        if self._config.shares_prefixes:
            same = [other for other in self.running if other.prompt_name == request.prompt_name]
            done = next((other for other in same if other.num_cached >= other.prompt_length), None)
            if done is not None:
                request.table = done.table.fork(request.prompt_length)
                # The last token is read again, into a copy of its page: its logits are not kept anywhere.
                request.num_cached = min(request.prompt_length, len(request.tokens) - 1)
            elif same:
                return False  # another reads this very prompt: a step later its pages can be shared
            else:
                request.num_cached = request.table.share_prefix(request.tokens, len(request.tokens) - 1)
        # One page more than it has to read: the last may have to be copied.
        wanted = self._pool.pages_for(len(request.tokens)) - len(request.table.pages) + 1
        if self.running and wanted > self._pool.num_available:
            request.table.free()
            request.num_cached = 0
            return False
        self.running.append(self.waiting.popleft())
        return True

    def _turn(self, request: Request, room: int) -> Turn | None:
        """The request's turn, on pages of those who came after it if need be; none if it was put off itself."""
        num_tokens = min(request.num_unread, room)
        end = request.num_cached + num_tokens
        while request in self.running:
            try:
                return Turn(request, num_tokens, request.table.reserve(end, writes_from=request.num_cached))
            except OutOfPages:
                self._put_off(self.running[-1])
        return None

    def _put_off(self, request: Request) -> None:
        self.running.remove(request)
        request.table.free()
        request.num_cached, request.guesses = 0, []
        self.waiting.appendleft(request)
