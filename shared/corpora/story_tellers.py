"""The two interpreters of a story grammar: `Teller` draws stories, `Reader` finds out how a story was drawn."""

from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass

from shared.corpora.story_grammar import (
    Alternative,
    Grammar,
    Scene,
    Table,
    is_boundary,
    key_of,
    keys_of,
)


class NotAStory(ValueError):
    """The text is not one that the grammar can tell."""


class Teller:
    """Draws stories: `tell()` returns a text and its negative log-probability in nats."""

    def __init__(self, grammar: Grammar, draw: Callable[[], float]) -> None:
        self.grammar = grammar
        self.draw = draw

    def tell(self) -> tuple[str, float]:
        self.parts: list[str] = []
        self.nats = 0.0
        self.scene: Scene = {}
        self._expand("story")
        return "".join(self.parts), self.nats

    def _expand(self, rule: str) -> None:
        scene, say = self.scene, self.parts.append
        table = self.grammar.choices[rule]
        if len(table.values) == 1:
            steps = table.values[0]
        else:
            index = bisect(table.cumulative, self.draw())
            self.nats += table.nats[index]
            steps = table.values[index]
        for what, argument, slot, left_out in steps:
            if what == "text":
                say(argument)
            elif what == "form":
                say(argument(scene))
            elif what == "pick":
                options = argument(scene)
                index = bisect(options.cumulative, self.draw())
                if left_out:
                    index = self._avoid(options, index, keys_of(scene, left_out))
                else:
                    self.nats += options.nats[index]
                say(options.texts[index])
                if slot:
                    scene[slot] = options.values[index]
            elif what == "fixed":
                index = bisect(argument.cumulative, self.draw())
                self.nats += argument.nats[index]
                say(argument.texts[index])
            else:
                self._expand(argument if isinstance(argument, str) else argument(scene))

    def _avoid(self, options: Table, index: int, keys: list[str]) -> int:
        """Draw again until the option is allowed; what counts is its probability among those allowed."""
        while key_of(options.values[index]) in keys:
            index = bisect(options.cumulative, self.draw())
        self.nats += options.nats_without(index, keys)
        return index


@dataclass(frozen=True)
class Choice:
    """One random choice of a derivation: where in the text it was settled, what was said, what it cost."""

    start: int
    where: str
    said: str
    nats: float


class Reader:
    """Recovers the only derivation of a story from its text."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar

    def read(self, text: str) -> list[Choice]:
        """The choices that made `text`, in order; their nats add up to the text's negative log-probability.

        Raises:
            NotAStory: the grammar cannot tell this text; the message shows where it stopped making sense.
        """
        self.text, self.position = text, 0
        self.choices: list[Choice] = []
        self.scene: Scene = {}
        self._expand("story")
        if self.position != len(text):
            raise NotAStory(f"the story is over, but the text goes on: {text[self.position :][:60]!r}")
        return self.choices

    def _expand(self, rule: str) -> None:
        table = self.grammar.choices[rule]
        fits = [i for i, alternative in enumerate(self.grammar.rules[rule]) if self._fits(alternative)]
        if len(fits) != 1:
            self._stop(f"{len(fits)} alternatives of the rule {rule} fit")
        if len(table.values) > 1:
            self.choices.append(Choice(self.position, rule, table.texts[fits[0]], table.nats[fits[0]]))
        for what, argument, slot, left_out in table.values[fits[0]]:
            if what in ("text", "form"):
                self._expect(argument if what == "text" else argument(self.scene))
            elif what in ("pick", "fixed"):
                options = argument if what == "fixed" else argument(self.scene)
                index = options.find(self.text, self.position)
                if index < 0:
                    self._stop(f"nothing of the table {options.name} fits")
                keys = keys_of(self.scene, left_out)
                if key_of(options.values[index]) in keys:
                    self._stop(f"{options.texts[index]!r} must not come again")
                nats = options.nats_without(index, keys)
                self.choices.append(Choice(self.position, options.name, options.texts[index], nats))
                self._expect(options.texts[index])
                if slot:
                    self.scene[slot] = options.values[index]
            else:
                self._expand(argument if isinstance(argument, str) else argument(self.scene))

    def _fits(self, alternative: Alternative) -> bool:
        lead = ""
        for what, argument, _, _ in alternative.steps:
            if what not in ("text", "form"):
                break
            try:
                lead += argument if what == "text" else argument(self.scene)
            except (KeyError, AttributeError):
                break
        return self.text.startswith(lead, self.position) and is_boundary(self.text, self.position + len(lead))

    def _expect(self, said: str) -> None:
        if not self.text.startswith(said, self.position):
            self._stop(f"{said!r} should follow")
        self.position += len(said)

    def _stop(self, why: str) -> None:
        before, after = self.text[: self.position][-40:], self.text[self.position :][:40]
        raise NotAStory(f"at character {self.position}, between {before!r} and {after!r}: {why}")
