"""The story world: one derivation per text, exact probabilities, a consistent world, clean English."""

import hashlib
import math
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import pytest

from shared.corpora.stories import stories, story_choices, story_grammar, story_nats
from shared.corpora.story_grammar import Grammar, Scene, Table, seeded_draw
from shared.corpora.story_plots import PLOTS
from shared.corpora.story_rules import FRAME
from shared.corpora.story_tables import story_tables
from shared.corpora.story_tellers import NotAStory, Reader, Teller
from shared.corpora.story_words import KINDS
from shared.corpora.story_world import World, with_article
from shared.errors import ConfigError

ROOT = Path(__file__).parents[3]
SPLITS = ("train", "val", "combinations")


@pytest.fixture(scope="module")
def told() -> list[tuple[str, float]]:
    return list(islice(stories(7, 10**9, "train"), 2000))


@pytest.fixture(scope="module")
def world() -> World:
    return World(is_held_out=False)


def words_of(text: str) -> list[str]:
    return re.findall(r"[A-Za-z'-]+", text)


# ------------------------------------------------------------------------ one derivation, exact probability


def test_reader_recovers_the_probability_of_every_story(told: list[tuple[str, float]]) -> None:
    for text, nats in told:
        assert story_nats(text) == pytest.approx(nats, rel=1e-12), text


def test_reader_recovers_the_held_out_distribution_as_well() -> None:
    for text, nats in islice(stories(3, 10**9, "combinations"), 300):
        assert story_nats(text, "combinations") == pytest.approx(nats, rel=1e-12), text


def test_choices_stand_in_the_text_in_order_and_none_is_certain_twice(told: list[tuple[str, float]]) -> None:
    for text, nats in told[:200]:
        choices = story_choices(text)
        assert all(choice.nats >= 0 for choice in choices)
        assert all(before.start <= after.start for before, after in pairwise(choices))
        assert math.fsum(choice.nats for choice in choices) == pytest.approx(nats, rel=1e-12)


def test_rules_and_tables_are_prefix_codes(world: World) -> None:
    met: dict[int, Table] = {}

    def watched(function: Callable[[Scene], Table]) -> Callable[[Scene], Table]:
        def table(scene: Scene) -> Table:
            chosen = function(scene)
            met[id(chosen)] = chosen
            return chosen

        return table

    grammar = Grammar(
        FRAME | PLOTS, {name: watched(function) for name, function in story_tables(world).items()}
    )
    assert list(grammar.problems()) == []
    teller = Teller(grammar, seeded_draw("tables"))
    for _ in range(1500):
        teller.tell()
    assert len(met) > 1000
    assert [problem for table in met.values() for problem in table.problems()] == []


def test_two_alternatives_that_begin_alike_are_found() -> None:
    animal = Table("animal", [("cat", "cat", 1), ("cat and dog", "both", 1)])
    assert list(animal.problems())
    assert not list(Table("animal", [("cat", "cat", 1), ("caterpillar", "c", 1)]).problems())
    for alternatives in (
        ["A [animal] came.", "A cat came."],  # differ only after a choice
        ["It ran", "It ran away"],  # one is the beginning of the other
        ["{h.saying} he said.", "Why not?"],  # what somebody says may be anything
        ["{h.he} ran.", "she ran."],
    ):
        grammar = Grammar({"story": alternatives}, {"animal": lambda scene: animal})
        assert list(grammar.problems()), alternatives
    sound = Grammar(
        {"story": ["A [animal] came.", "It (ran|ran away) fast.", "{h.name} ran."]},
        {"animal": lambda s: animal},
    )
    assert list(sound.problems()) == []


def test_probabilities_of_a_small_grammar_sum_to_one_and_match_the_frequencies() -> None:
    pets = Table("pets", [("cat", "cat", 3), ("dog", "dog", 2), ("cow", "cow", 1)])
    grammar = Grammar(
        {
            "story": ["3 | The [a=pets] met the [b=pets!a]. <end>", "A [a=pets] slept."],
            "end": ["Soon(| after that) they left.", "Fin."],
        },
        {"pets": lambda scene: pets},
    )
    assert list(grammar.problems()) == []
    teller = Teller(grammar, seeded_draw("small"))
    draws = 20_000
    seen = Counter(teller.tell() for _ in range(draws))
    assert len(seen) == 3 * 2 * 3 + 3
    assert len({text for text, _ in seen}) == len(seen)  # a text always has the same probability
    assert math.fsum(math.exp(-nats) for _, nats in seen) == pytest.approx(1, abs=1e-12)
    for (text, nats), count in seen.items():
        expected = draws * math.exp(-nats)
        assert abs(count - expected) < 5 * math.sqrt(expected), text  # five standard deviations
        assert math.fsum(c.nats for c in Reader(grammar).read(text)) == pytest.approx(nats, abs=1e-12)


def test_the_first_choices_come_as_often_as_their_probabilities_say(told: list[tuple[str, float]]) -> None:
    plots = Counter(next(c for c in story_choices(text) if c.where == "plot").said for text, _ in told)
    table = story_grammar("train").choices["plot"]
    for said, nats in zip(table.texts, table.nats, strict=True):
        expected = len(told) * math.exp(-nats)
        assert abs(plots[said] - expected) < 5 * math.sqrt(expected), said


def test_changed_texts_are_no_stories(told: list[tuple[str, float]]) -> None:
    text = told[0][0]
    for broken in (
        text[:-1],
        text + " And then?",
        text.replace(".", "!", 1),
        "Hello.",
        "",
        text.replace("the ", "a ", 1),
    ):
        with pytest.raises(NotAStory):
            story_nats(broken)


# ------------------------------------------------------------------------ splits


def test_heroes_never_get_a_held_out_thing_but_in_combinations(world: World) -> None:
    for split in SPLITS:
        reader = Reader(story_grammar(split))
        for text, _ in islice(stories(1, 10**9, split), 300):
            reader.read(text)
            hero, thing = reader.scene["h"], reader.scene["t"]
            assert (thing.noun in world.held_out(hero.kind)) == (split == "combinations"), text


def test_stories_of_combinations_are_impossible_in_train_and_the_other_way_round() -> None:
    strange, plain = next(stories(1, 1, "combinations"))[0], next(stories(1, 1, "train"))[0]
    assert story_nats(plain, "val") == story_nats(plain, "train")
    with pytest.raises(NotAStory):
        story_nats(strange, "train")
    with pytest.raises(NotAStory):
        story_nats(plain, "combinations")


def test_every_kind_of_hero_has_held_out_things_that_the_kind_would_else_have(world: World) -> None:
    for kind in {who.kind for who in world.cast}:
        assert len(world.held_out(kind)) == 6
        assert not world.held_out(kind) & set(world.goals(kind, "a").shares)


def test_same_seed_same_stories_and_more_bytes_only_go_on() -> None:
    short, long = list(stories(5, 20_000)), list(stories(5, 60_000))
    assert long[: len(short)] == short
    assert 20_000 <= sum(len(text) for text, _ in short) < 22_000
    assert short[0] != next(stories(6, 1)) != next(stories(5, 1, "val"))


def test_train_and_val_share_no_story() -> None:
    train = {text for text, _ in stories(0, 300_000, "train")}
    val = {text for text, _ in stories(0, 300_000, "val")}
    assert len(train) > 300
    assert not train & val


def test_stories_do_not_depend_on_the_hash_seed() -> None:
    script = (
        "import hashlib; from shared.corpora.stories import stories; "
        "print(hashlib.sha256(repr(list(stories(0, 200_000))).encode()).hexdigest())"
    )
    here = hashlib.sha256(repr(list(stories(0, 200_000))).encode()).hexdigest()
    env = os.environ | {"PYTHONHASHSEED": "12345"}
    there = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'test'.*train, val, combinations"):
        next(stories(0, 1, "test"))  # type: ignore[arg-type]


# ------------------------------------------------------------------------ the world and its English


def test_facts_hold_in_every_story(told: list[tuple[str, float]]) -> None:
    reader = Reader(story_grammar("train"))
    clothes: dict[tuple[str, str], set[str]] = {}
    for text, _ in told:
        reader.read(text)
        hero = reader.scene["h"]
        for worn in re.findall(r"always wore (.*?)\.", text):
            clothes.setdefault((hero.name, hero.kind), set()).add(worn)
    assert len(clothes) > 100
    assert all(len(worn) == 1 for worn in clothes.values())


def test_nobody_is_mistaken_for_somebody_else(told: list[tuple[str, float]]) -> None:
    for text, _ in told:
        named = re.findall(r"\b([A-Z][a-z]+) the ([a-z]+)", text) + [
            (name, kind) for kind, name in re.findall(r"([a-z]+) named ([A-Z][a-z]+)", text)
        ]
        kinds: dict[str, set[str]] = {}
        for name, kind in (pair for pair in named if pair[1] in KINDS):
            kinds.setdefault(name, set()).add(kind)
        assert all(len(of_name) == 1 for of_name in kinds.values()), text


def test_names_are_no_other_words(world: World) -> None:
    rules = " ".join(
        re.sub(r"\{[^}]*\}|[\[<][^\]>]*[\]>]", " ", a) for r in (FRAME | PLOTS).values() for a in r
    )
    used = set(words_of(rules))
    assert not used & {who.name for who in world.cast}


def test_english_is_clean(told: list[tuple[str, float]]) -> None:
    for text, _ in told:
        assert text.isascii()
        assert not re.search(r"[{}\[\]<>|]|  | [.,!?]|\.\.|!\.|\n\n\n|\s$", text), text
        assert not re.search(r"\b(\w+) \1\b", re.sub(r"[a-z]+-[a-z]+", "", text).replace("had had", "")), text
        assert not re.search(r"[.] [a-z]|\n[a-z]|^[a-z]", text), text
        assert text.count('"') % 2 == 0
        for article, word in re.findall(r"\b([Aa]n?) ([a-z]+)", text):
            assert f"{article} {word}".lower() == with_article(word), text


def test_the_world_has_enough_words_and_stories_vary(told: list[tuple[str, float]]) -> None:
    counts = Counter(word.lower() for text, _ in told for word in words_of(text))
    assert len(counts) >= 1500
    assert len({text for text, _ in told}) == len(told)
    lengths = sorted(len(text) for text, _ in told)
    assert lengths[0] > 300
    assert lengths[-1] < 1600


def test_entropy_per_byte_is_the_same_in_train_and_val() -> None:
    def bits_per_byte(split: str) -> float:
        parts = list(stories(0, 600_000, split))  # type: ignore[arg-type]
        return sum(nats for _, nats in parts) / math.log(2) / sum(len(text) for text, _ in parts)

    assert bits_per_byte("train") == pytest.approx(bits_per_byte("val"), rel=0.03)


def test_memory_does_not_grow_with_the_corpus() -> None:
    assert (
        iter(produced := stories(0, 10**12)) is produced
    )  # a generator: a terabyte is asked for, one story is made
    assert next(produced)[0]
