"""The world of the stories: who lives where, likes what, finds what; drawn once from a fixed seed.

The world is the knowledge that a model can learn. It does not depend on the seed of a corpus, so what one story tells
holds in every other: Mina the fox always lives in the same house, and the market always smells of the same things.
Nearly every choice is sparse and conditional (a place has its own few sounds, a thing its own looks, a kind of
character at a place its own doings), who and what is told about is long-tailed, and some of it takes two things to know
a third. A small model learns the frequent part; the tail takes parameters.
"""

import math
from bisect import bisect
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import TypeVar

from shared.corpora import story_words as words
from shared.corpora.story_grammar import Table, seeded_draw

WORLD_SEED = "the story world, first edition"
NUM_CHARACTERS = 900
HELD_OUT_PER_KIND = 6  # goal things that a kind of hero never has but in the split "combinations"

V = TypeVar("V")

FACTS = {  # attribute of a character: what it is drawn from
    "wear": words.WEAR,
    "fear": words.FEARS,
    "dream": words.DREAMS,
    "skill": words.SKILLS,
    "saying": words.SAYINGS,
    "family": words.FAMILY,
    "keep": words.KEEPS,
    "work": words.DOING,
}


class Place:
    """A place: `the` after "to", `at` after a verb, its `land` and the way to its neighbors."""

    __slots__ = ("at", "key", "land", "neighbors", "residents", "the")

    def __init__(self, at: str, land: str) -> None:
        self.at, self.land = at, land
        self.the = self.key = at.split(" ", 1)[1]
        self.neighbors: list[Place] = []
        self.residents: list[Character] = []


class Character:
    """Somebody of the cast. Every attribute is a lasting fact of the world."""

    trait: str
    note: str  # what everybody notices, from the trait
    home: str
    near: Place
    family: str
    friend: "Character"
    food: str
    wear: str
    fear: str
    dream: str
    skill: str
    work: str
    saying: str
    cry: str
    keep: str  # where things of value are put at home
    ailments: Table
    feelings: Table
    friends: Table
    gestures: Table
    haunts: Table
    joys: Table
    manners: Table
    moves: Table
    speech: Table

    def __init__(self, name: str, kind: str, is_girl: bool, weight: float) -> None:
        self.name = self.key = name
        self.kind, self.weight = kind, weight
        self.he, self.him, self.his = ("she", "her", "her") if is_girl else ("he", "him", "his")
        self.He, self.His = self.he.capitalize(), self.his.capitalize()


class Item:
    """A thing with its look: `noun` alone, `phrase` with the look, `a` with the article as well."""

    __slots__ = ("a", "a_noun", "key", "kind", "noun", "phrase")

    def __init__(self, noun: str, kind: str, look: str) -> None:
        self.noun = self.key = noun
        self.kind = kind
        self.phrase = f"{look} {noun}"
        self.a, self.a_noun = with_article(self.phrase), with_article(noun)


def with_article(phrase: str) -> str:
    """`phrase` behind "a" or "an", by sound: an old hat, a unicorn, an hourglass."""
    first = phrase.split(" ")[0]
    is_vowel = first[0] in "aeiou" and not first.startswith(("uni", "use", "one"))
    return f"{'an' if is_vowel or first in ('hourglass', 'honest') else 'a'} {phrase}"


def zipf(count: int, offset: float) -> list[float]:
    """Long-tailed weights 1 / (rank + offset)."""
    return [1.0 / (rank + offset) for rank in range(count)]


class Dice:
    """Seeded draws that build the world; every part has a stream of its own, so that parts can be added."""

    def __init__(self, *words: object) -> None:
        self.draw = seeded_draw(WORLD_SEED, *words)

    def shuffled(self, options: Sequence[V]) -> list[V]:
        return [
            option
            for _, option in sorted(((self.draw(), option) for option in options), key=lambda pair: pair[0])
        ]

    def one(self, options: Sequence[V]) -> V:
        return options[int(self.draw() * len(options))]

    def some(self, options: Sequence[V], count: int, offset: float = 4.0) -> list[V]:
        """`count` different options; those early in the list come up more often over the whole world."""
        cumulative = _cumulative_zipf(len(options), offset)
        chosen: dict[int, V] = {}
        while len(chosen) < min(count, len(options)):
            index = bisect(cumulative, self.draw())
            chosen.setdefault(index, options[index])
        return list(chosen.values())


@cache
def _cumulative_zipf(count: int, offset: float) -> list[float]:
    running = list(accumulate(zipf(count, offset)))
    return [*(part / running[-1] for part in running[:-1]), 1.0]


def preferences(name: str, options: Sequence[str], count: int, *key: object, steep: float = 0.6) -> Table:
    """The few options that belong to `key`, the first one by far the likeliest."""
    chosen = Dice(name, *key).some(options, count)
    return Table(
        name, [(text, text, weight) for text, weight in zip(chosen, zipf(count, steep), strict=False)]
    )


class World:
    """The whole world: who and what there is, and the knowledge that ties them together."""

    def __init__(self, is_held_out: bool) -> None:
        self.is_held_out = is_held_out
        self.places = self._make_places()
        self.things = Dice("things").shuffled(
            [(noun, kind) for kind, nouns in words.THINGS.items() for noun in nouns]
        )
        self.cast = self._make_cast()
        self.spots = {p.the: preferences("spot", words.SPOTS[p.land], 6, p.the) for p in self.places}

    def _make_places(self) -> list[Place]:
        places = [Place(at, land) for land, names in words.PLACES.items() for at in names]
        places = Dice("places").shuffled(places)
        for place in places:
            others = [other for other in places if other is not place]
            place.neighbors = Dice("roads", place.the).some(others, 5, offset=6.0)
        return places

    def _make_cast(self) -> list[Character]:
        dice = Dice("cast")
        names = [(name, True) for name in words.GIRLS] + [(name, False) for name in words.BOYS]
        kinds = dice.shuffled(list(words.KINDS))
        girls_only, boys_only = ("girl", "witch", "fairy", "hen"), ("boy", "wizard")
        cast: list[Character] = []
        known: set[tuple[str, str]] = set()
        # A steeper tail than Zipf's: half of all stories are about twenty heroes. (Square roots are exact everywhere.)
        weights = [1.0 / (rank * math.sqrt(math.sqrt(rank))) for rank in range(4, NUM_CHARACTERS + 4)]
        while len(cast) < NUM_CHARACTERS:
            for name, is_girl in dice.shuffled(names):
                fitting = [k for k in kinds if k not in (boys_only if is_girl else girls_only)]
                kind = dice.some(fitting, 1, offset=5.0)[0]
                if (name, kind) in known or len(cast) == NUM_CHARACTERS:
                    continue
                known.add((name, kind))
                cast.append(Character(name, kind, is_girl, weights[len(cast)]))
        homes = [self.places[index % len(self.places)] for index in range(NUM_CHARACTERS)]
        for who, near in zip(cast, dice.shuffled(homes), strict=True):
            self._settle(who, near, cast)
        return cast

    def _settle(self, who: Character, near: Place, cast: list[Character]) -> None:
        """Give one of the cast a home, friends, tastes and habits."""
        key = (who.name, who.kind)
        dice = Dice("character", *key)
        who.near = near
        near.residents.append(who)
        who.trait = dice.some(list(words.TRAITS), 1)[0]
        who.note = words.TRAITS[who.trait].format(he=who.he, him=who.him, his=who.his, He=who.He, His=who.His)
        who.home = dice.some(words.DWELLINGS, 1)[0]
        known = {f.name: f for f in dice.some(cast, 7, offset=10.0) if f.name != who.name}
        who.friend, *others = list(known.values())[:4]
        who.friends = cast_table("friends", [who.friend, *others], "named", weights=[3.0, 2.0, 1.0, 1.0])
        who.food = dice.some(words.FOODS, 1)[0]
        for fact, options in FACTS.items():
            setattr(who, fact, dice.some(options, 1, offset=5.0)[0])
        moves, who.cry = words.MOVES[words.KINDS[who.kind][0]], words.KINDS[who.kind][1]
        who.moves = preferences("moves", moves, 3, *key)
        who.speech = preferences("speech", words.SPEECH, 3, *key)
        who.manners = preferences("manners", words.MANNER, 4, who.trait)
        who.feelings = preferences("feelings", words.FEELINGS, 3, who.trait)
        who.joys = preferences("joys", words.JOYS, 3, who.trait)
        who.gestures = preferences("gestures", words.GESTURES, 3, who.kind)
        who.ailments = preferences("ailments", words.AILMENTS, 2, *key)
        haunts = [near, *dice.some([p for p in self.places if p is not near], 2, offset=6.0)]
        who.haunts = place_table("haunts", haunts, [3.0, 2.0, 1.0], form="at")

    # ------------------------------------------------------------------ tables

    @cache  # noqa: B019 - a world lives as long as the process
    def looks(self, noun: str, kind: str) -> list[tuple[Item, float]]:
        """A thing in the few looks that it can have, the likeliest first; what it is made of is one of them."""
        dice = Dice("looks", noun)
        looks = dice.some(words.LOOKS, 4, offset=5.0)
        looks.insert(int(dice.draw() * 3), dice.one(words.MADE_OF[kind]))
        return [(Item(noun, kind, look), share) for look, share in zip(looks, zipf(5, 0.6), strict=True)]

    def item_table(self, name: str, things: list[tuple[tuple[str, str], float]], form: str) -> Table:
        """Things, each in its own looks, by their `form`: "phrase" (red kite) or "a" (a red kite)."""
        return Table(
            name,
            [
                (getattr(item, form), item, weight * share)
                for thing, weight in things
                for item, share in self.looks(*thing)
            ],
        )

    @cache  # noqa: B019
    def goals(self, kind: str, form: str) -> Table:
        """What heroes of a kind want, own or find. Some things are held out: see `held_out`."""
        own = Dice("goals", kind).some(self.things, 24, offset=8.0)
        weights = {thing: 0.3 * w for thing, w in zip(self.things, zipf(len(self.things), 4.0), strict=True)}
        for thing, weight in zip(own, zipf(len(own), 1.0), strict=True):
            weights[thing] += weight
        kept = [(t, w) for t, w in weights.items() if (t[0] in self.held_out(kind)) == self.is_held_out]
        return self.item_table("goals", kept, form)

    @cache  # noqa: B019
    def held_out(self, kind: str) -> frozenset[str]:
        """Goal things that heroes of this kind have only in the split "combinations"."""
        own = Dice("goals", kind).some(self.things, 24, offset=8.0)
        return frozenset(noun for noun, _ in own[3 : 3 + HELD_OUT_PER_KIND])

    @cache  # noqa: B019
    def found(self, place: str) -> Table:
        things = Dice("found", place).some(self.things, 10, offset=10.0)
        return self.item_table("found", list(zip(things, zipf(10, 1.0), strict=True)), "a")

    @cache  # noqa: B019
    def hidden(self, noun: str, land: str) -> Table:
        """Where a thing is wont to lie, by the land around."""
        return preferences("hidden", words.SPOTS[land], 3, noun, land)

    @cache  # noqa: B019
    def residents(self, place: Place, form: str) -> Table:
        return cast_table("residents", place.residents, form)

    @cache  # noqa: B019
    def neighbors(self, place: Place, form: str) -> Table:
        return place_table("neighbors", place.neighbors, zipf(5, 1.0), form)


def cast_table(
    name: str, cast: Sequence[Character], form: str, weights: Sequence[float] | None = None
) -> Table:
    """Characters by their `form`: "named" (Mina the fox) or "intro" (a shy fox named Mina)."""

    def said(who: Character) -> str:
        is_named = form == "named"
        return (
            f"{who.name} the {who.kind}"
            if is_named
            else f"{with_article(who.trait)} {who.kind} named {who.name}"
        )

    weights = weights or [who.weight for who in cast]
    return Table(name, [(said(who), who, weight) for who, weight in zip(cast, weights, strict=True)])


def place_table(name: str, places: Sequence[Place], weights: Sequence[float], form: str) -> Table:
    """Places by their `form`: "the" (the mill) or "at" (at the mill)."""
    return Table(name, [(getattr(p, form), p, w) for p, w in zip(places, weights, strict=True)])
