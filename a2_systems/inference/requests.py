"""A request while it is served: its tokens, what of them is in the cache, and the text that can be shown."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field

from a2_systems.inference.pages import BlockTable, page_name
from shared.doors.inference import FinishReason, SamplingParams


class TextStream:
    """Tokens to text, as they come: whole characters only, and nothing that may turn out to be a stop text.

    >>> stream = TextStream({0: b"a", 1: b"\\xc3", 2: b"\\xa9", 3: b"EN", 4: b"D"}, stop=("END",))
    >>> [stream.feed(token) for token in (0, 1, 2, 3, 0)], stream.feed(3), stream.feed(4), stream.has_stopped
    (['a', '', 'é', '', 'ENa'], '', '', True)
    """

    def __init__(self, token_bytes: Mapping[int, bytes], stop: tuple[str, ...] = ()) -> None:
        self._token_bytes, self._stop = token_bytes, stop
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.has_stopped = False
        self.text = ""  # all that was shown

    def feed(self, token: int) -> str:
        """The text that this token brings to light."""
        return self._show(self._decoder.decode(self._token_bytes.get(token, b"")), is_end=False)

    def finish(self) -> str:
        """What was held back, now that nothing comes after it."""
        return "" if self.has_stopped else self._show(self._decoder.decode(b"", final=True), is_end=True)

    def _show(self, new: str, *, is_end: bool) -> str:
        self._held += new
        found = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.has_stopped, shown, self._held = True, self._held[: min(found)], ""
        else:
            kept = 0 if is_end else self._possible_stop_length()
            shown, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        self.text += shown
        return shown

    def _possible_stop_length(self) -> int:
        """How long the longest end of the text is that begins a stop text."""
        lengths = range(max(map(len, self._stop), default=1) - 1, 0, -1)
        ends = (self._held[-length:] for length in lengths if length <= len(self._held))
        return next((len(end) for end in ends if any(stop.startswith(end) for stop in self._stop)), 0)


@dataclass(eq=False)
class Request:
    """One request; `tokens` are the prompt's and those drawn since."""

    number: int
    prompt_length: int
    tokens: list[int]
    params: SamplingParams
    table: BlockTable
    stream: TextStream
    max_length: int  # tokens, the prompt's included
    num_cached: int = 0  # tokens whose keys and values are in the cache
    guesses: list[int] = field(
        default_factory=list
    )  # tokens that may come next, read in one pass with the last
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    def __post_init__(self) -> None:
        self.prompt_name = page_name(b"", self.tokens[: self.prompt_length])  # equal for equal prompts

    @property
    def num_unread(self) -> int:
        """Tokens that the model has to read before the next is drawn, and those that are guessed."""
        return len(self.tokens) + len(self.guesses) - self.num_cached

    @property
    def new_tokens(self) -> list[int]:
        return self.tokens[self.prompt_length :]

    def take(self, token: int, logprob: float) -> str:
        """One more token; the text that it brings to light."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        if token in self.params.stop_tokens:
            self.finish_reason = "stop"
            return self.stream.finish()
        text = self.stream.feed(token)
        if self.stream.has_stopped:
            self.finish_reason = "stop"
        elif len(self.tokens) >= self.max_length:
            self.finish_reason = "length"
            text += self.stream.finish()
        return text
