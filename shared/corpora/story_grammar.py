"""A grammar that tells stories and reads them back: one set of rules, two interpreters.

A story is the expansion of the rule "story". Everything random happens where an option is chosen: a `Teller` draws one,
a `Reader` looks at a finished text and finds the only option that fits (both in `story_tellers`); both add the option's
negative log-probability to a running sum. So every text comes with its exact probability, and `Reader` proves it: it
gets the same sum from the text alone.

Why one text has one derivation: the options of every choice form a prefix code. No option of a table is the beginning
of another one that stops at a word boundary, and the alternatives of a rule differ in their plain text before anything
random is said (`Table.problems` and `Grammar.problems` check both). So reading from the left, each choice is settled by
the text that stands there, as in a Huffman code.

The notation of a rule's alternatives::

    {h.name}          text that follows from what has been told so far: attribute `name` of slot `h`
    [h=intro]         a choice from the table `intro`; what was chosen is kept in slot `h` (`[intro]` keeps nothing)
    [f=met!h,h.pal]   the same, but never one of those named after "!" (the rest is renormalized)
    <search>          the rule `search`;  <mend_{t.kind}> names the rule by what has been told
    (walked|ran)      a choice among texts, evenly
    3 | text          an alternative with weight 3 (default: 1/n for the n-th, a long tail)
"""

import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations
from operator import attrgetter
from typing import Any

Scene = dict[str, Any]
"""What has been told so far: slot -> character, item, place or plain text."""


class Table:
    """Options of one choice: what is said, what is kept, and how likely it is."""

    __slots__ = ("by_text", "cumulative", "lengths", "name", "nats", "shares", "texts", "values")

    def __init__(self, name: str, options: Iterable[tuple[str, Any, float]]) -> None:
        chosen = [option for option in options if option[2] > 0]
        total = sum(weight for _, _, weight in chosen)
        self.name = name
        self.texts = [text for text, _, _ in chosen]
        self.values = [value for _, value, _ in chosen]
        # Rounded, so that the last bit of a platform's logarithm does not matter.
        self.nats = [round(-math.log(weight / total), 12) for _, _, weight in chosen]
        self.cumulative = [running / total for running in accumulate(weight for _, _, weight in chosen)]
        self.cumulative[-1] = 1.0
        self.shares: dict[str, float] = {}  # key of a value -> probability, for choices that leave some out
        for _, value, weight in chosen:
            key = key_of(value)
            self.shares[key] = self.shares.get(key, 0.0) + weight / total
        self.by_text: dict[str, int] | None = None
        self.lengths: list[int] = []

    def nats_without(self, index: int, keys: list[str]) -> float:
        """The surprise of an option where those with these keys are not allowed."""
        lost = sum(self.shares.get(key, 0.0) for key in keys)
        return self.nats[index] + round(math.log1p(-lost), 12) if lost else self.nats[index]

    def find(self, text: str, start: int) -> int:
        """The option that stands in `text` at `start`, or -1."""
        if self.by_text is None:
            self.by_text = {option: index for index, option in enumerate(self.texts)}
            self.lengths = sorted({len(option) for option in self.texts}, reverse=True)
        for length in self.lengths:
            index = self.by_text.get(text[start : start + length], -1)
            if index >= 0 and is_boundary(text, start + length):
                return index
        return -1

    def problems(self) -> Iterator[str]:
        """Pairs of options that a reader could mix up."""
        known = set(self.texts)
        if len(known) < len(self.texts):
            twice = next(text for text in self.texts if self.texts.count(text) > 1)
            yield f"table {self.name}: {twice!r} stands twice"
        for text in self.texts:
            for end in range(len(text)):
                if text[:end] in known and is_boundary(text, end):
                    yield f"table {self.name}: {text[:end]!r} is the beginning of {text!r}"


def key_of(value: Any) -> str:
    """What makes two values the same for a choice that must not repeat one: a name, a noun, the text itself."""
    return getattr(value, "key", value)


def keys_of(scene: Scene, names: tuple[str, ...]) -> list[str]:
    """The keys of what stands in slots such as "h", or "h.friend"; slots that are still empty count for nothing."""
    keys: list[str] = []
    for name in names:
        slot, _, attribute = name.partition(".")
        if slot in scene:
            key = key_of(attrgetter(attribute)(scene[slot]) if attribute else scene[slot])
            if key not in keys:
                keys.append(
                    key
                )  # a list: the order of a set, and so the rounding of a sum, differs between runs
    return keys


def is_boundary(text: str, place: int) -> bool:
    """Whether no word runs across `place`."""
    return not (0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum())


@dataclass(frozen=True)
class Alternative:
    """One compiled alternative: `steps` are (what, argument, slot, left out) in the order they are said."""

    source: str
    weight: float
    steps: tuple[tuple[str, Any, str, tuple[str, ...]], ...]


_MARK = re.compile(r"\[(?:(\w+)=)?(\w+)(?:!([\w,.]+))?\]|<([^>]+)>|\(([^()]*\|[^()]*)\)")
_LEXEMES = re.compile(r"\{[^}]*\}|\w+|\s+|[^\w\s{]")


class Grammar:
    """Compiled rules over the tables of a world.

    `tables` maps a name to a function of the scene that returns the Table to choose from.
    """

    def __init__(
        self, rules: Mapping[str, Sequence[str]], tables: Mapping[str, Callable[[Scene], Table]]
    ) -> None:
        self.tables = tables
        self.rules: dict[str, tuple[Alternative, ...]] = {}
        self.choices: dict[str, Table] = {}
        self._inline = 0
        for name, alternatives in rules.items():
            self._add_rule(name, alternatives)

    def _add_rule(self, name: str, alternatives: Sequence[str]) -> None:
        compiled = []
        for rank, alternative in enumerate(alternatives, start=1):
            weight, bar, source = alternative.partition(" | ")
            if not (bar and re.fullmatch(r"[\d.]+", weight.strip())):
                weight, source = str(1 / rank), alternative
            compiled.append(Alternative(source, float(weight), self._compile(name, source)))
        self.rules[name] = tuple(compiled)
        self.choices[name] = Table(name, [(a.source, a.steps, a.weight) for a in compiled])

    def _compile(self, rule: str, source: str) -> tuple[tuple[str, Any, str, tuple[str, ...]], ...]:
        steps: list[tuple[str, Any, str, tuple[str, ...]]] = []
        position = 0
        while position < len(source):
            mark = _MARK.search(source, position)
            if mark is None:
                steps.append(_text_step(source[position:]))
                break
            if mark.start() > position:
                steps.append(_text_step(source[position : mark.start()]))
            slot, table, left_out, called, inline = mark.groups()
            position = mark.end()
            if table:
                steps.append(
                    ("pick", self.tables[table], slot or "", tuple(left_out.split(",")) if left_out else ())
                )
            elif called:
                steps.append(("call", called.format_map if "{" in called else called, "", ()))
            else:
                # The plain text that follows is said with each option, so that one of them may be empty.
                following = re.match(r"[^\[<({]*", source[position:])
                tail = following.group() if following else ""
                position += len(tail)
                self._inline += 1
                name = f"{rule}#{self._inline}"
                options = [option + tail for option in inline.split("|")]
                if any("{" in option for option in options):
                    self._add_rule(name, options)
                    steps.append(("call", name, "", ()))
                else:
                    inline_table = Table(name, [(option, option, 1.0) for option in options])
                    steps.append(("fixed", inline_table, "", ()))
        return tuple(steps)

    def problems(self) -> Iterator[str]:
        """Everything in the rules that could give one text two derivations; nothing for a sound grammar."""
        for name, alternatives in self.rules.items():
            for first, second in combinations(alternatives, 2):
                reason = _confusion(first, second)
                if reason:
                    yield f"rule {name}: {reason}: {first.source!r} and {second.source!r}"
            for alternative in alternatives:
                for before, after in zip(alternative.steps, alternative.steps[1:], strict=False):
                    if (
                        before[0] in ("pick", "fixed")
                        and after[0] == "text"
                        and _opening(after)[:1].isalnum()
                    ):
                        yield f"rule {name}: a word is glued to a choice: {alternative.source!r}"
                for what, argument, _, _ in alternative.steps:
                    if what == "fixed":
                        yield from argument.problems()
                    if what == "call" and isinstance(argument, str) and argument not in self.rules:
                        yield f"rule {name}: there is no rule {argument}"


def _text_step(text: str) -> tuple[str, Any, str, tuple[str, ...]]:
    return ("form", text.format_map, text, ()) if "{" in text else ("text", text, text, ())


def _opening(step: tuple[str, Any, str, tuple[str, ...]]) -> str:
    return step[2]


def _lead(alternative: Alternative) -> str:
    """The text an alternative surely begins with, slots still unfilled."""
    lead = ""
    for what, _, source, _ in alternative.steps:
        if what not in ("text", "form"):
            return lead
        lead += source
    return lead + "\0"  # the alternative ends here


def _confusion(first: Alternative, second: Alternative) -> str:
    """Why a reader could not tell two alternatives apart by their plain text, or ""."""
    for one, other in zip(_LEXEMES.findall(_lead(first)), _LEXEMES.findall(_lead(second)), strict=False):
        if one == other:
            continue
        for left, right in ((one, other), (other, one)):
            is_word = not left.startswith("{") or right.startswith("{")
            if not is_word and (
                _slot_class(left) == "word" or right.lower() in ("he", "she", "him", "his", "her")
            ):
                return f"{left} could read {right!r}"
        if one.startswith("{") and other.startswith("{"):
            same = _slot_class(one) == _slot_class(other)
            if same and not (_slot_class(one) == "name" and one != other):
                return f"{one} could read like {other}"
            if "word" in (_slot_class(one), _slot_class(other)):
                return f"{one} could read like {other}"
        return "one is the beginning of the other" if "\0" in (one, other) else ""
    return "they differ only after something random"


def _slot_class(slot: str) -> str:
    attribute = slot.strip("{}").rpartition(".")[2]
    if attribute == "name":
        return "name"  # names are capitalized, unlike any other word of the rules, and differ within a story
    if attribute.lower() == "he":
        return "subject"
    return "object" if attribute.lower() in ("him", "his") else "word"  # her is both


def seeded_draw(*words: object) -> Callable[[], float]:
    """An endless source of numbers in [0, 1) that is the same on every machine for the same words."""
    return random.Random("/".join(str(word) for word in words)).random
