"""The story world's corpus: endless short children's stories whose true entropy is known.

`stories` yields each story with its exact negative log-probability, so the mean over a split is the lowest loss that
any model can reach on it in the long run: `nats / log(2) / bytes` bits per byte. `story_choices` goes the other way
and recovers every choice from a text alone.

Splits "train" and "val" are draws from the same distribution. In "combinations" every hero is after a thing that
heroes of that kind never have elsewhere; all else is equal, so it measures what a model makes of parts it knows in a
combination it has never seen (its floor is that of its own distribution).
"""

from collections.abc import Iterator
from functools import cache
from typing import Literal, get_args

from shared.corpora.story_grammar import Grammar, seeded_draw
from shared.corpora.story_plots import PLOTS
from shared.corpora.story_rules import FRAME
from shared.corpora.story_tables import story_tables
from shared.corpora.story_tellers import Choice, Reader, Teller
from shared.corpora.story_world import World
from shared.errors import ConfigError

Split = Literal["train", "val", "combinations"]


def stories(seed: int, num_bytes: int, split: Split = "train") -> Iterator[tuple[str, float]]:
    """Stories of about `num_bytes` bytes together, each with its negative log-probability in nats.

    The same seed and split give the same stories on every machine, and a larger `num_bytes` only goes on longer. Memory
    does not grow. Every text is ASCII, so characters are bytes.

    Raises:
        ConfigError: an unknown split.
    """
    teller = Teller(story_grammar(split), seeded_draw("stories", seed, split))
    told_bytes = 0
    while told_bytes < num_bytes:
        text, nats = teller.tell()
        told_bytes += len(text)
        yield text, nats


def story_choices(text: str, split: Split = "train") -> list[Choice]:
    """Every random choice that made the story `text`, recovered from the text; the only derivation there is.

    Raises:
        NotAStory: the grammar of this split cannot tell this text.
    """
    return Reader(story_grammar(split)).read(text)


def story_nats(text: str, split: Split = "train") -> float:
    """The negative log-probability of a story in nats, from its text alone.

    Raises:
        NotAStory: the grammar of this split cannot tell this text (its probability is zero).
    """
    return sum(choice.nats for choice in story_choices(text, split))


def story_grammar(split: Split) -> Grammar:
    """The rules over the world of a split, compiled once per process (about half a second).

    Raises:
        ConfigError: an unknown split.
    """
    if split not in get_args(Split):
        raise ConfigError(
            f"there is no split {split!r} of the stories; ask for one of {', '.join(get_args(Split))}"
        )
    return _grammar(split == "combinations")


@cache
def _grammar(is_held_out: bool) -> Grammar:
    return Grammar(FRAME | PLOTS, story_tables(World(is_held_out)))
