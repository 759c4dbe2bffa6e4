"""Every table that the rules of the stories ask for, by name, over a world.

A name ends in the slots that the choice depends on: `speech_f` is how the helper `f` speaks, `doing_fp` what somebody
of the kind of `f` does at the place `p`. Tables are made when they are first asked for, one for each key.
"""

from collections.abc import Callable, Sequence

from shared.corpora import story_words as words
from shared.corpora.story_grammar import Scene, Table
from shared.corpora.story_world import World, cast_table, place_table, preferences, zipf

OF_CHARACTERS = (
    "moves", "speech", "manners", "feelings", "joys", "gestures", "ailments", "haunts", "friends"
)  # fmt: skip


def story_tables(world: World) -> dict[str, Callable[[Scene], Table]]:
    """The tables by name; each is a function of what has been told so far."""
    tables: dict[str, Callable[[Scene], Table]] = {}

    def always(name: str, table: Table) -> None:
        tables[name] = lambda scene: table

    def keyed(name: str, slots: str, options: Sequence[str], count: int, key: Callable[..., tuple]) -> None:
        """A table per key of what stands in the slots; `slots` "hf" gives name_h and name_f, "fp hq" name_fp ..."""
        made: dict[tuple, Table] = {}
        for used in slots.split(" ") if " " in slots else list(slots):

            def table(scene: Scene, used: str = used) -> Table:
                facts = key(*[scene[slot] for slot in used])
                found = made.get(facts)
                if found is None:
                    found = made[facts] = preferences(name, options, count, *facts)
                return found

            tables[f"{name}_{used}"] = table

    def by_kind(name: str, options: dict[str, list[str]], count: int) -> None:
        """A table per thing `t`; the options follow from what kind of thing it is."""
        made = {
            noun: preferences(name, options[kind], count, noun)
            for kind, nouns in words.THINGS.items()
            for noun in nouns
        }
        tables[name] = lambda scene: made[scene["t"].noun]

    for name, options in (
        ("time", words.TIMES),
        ("weather", words.WEATHERS),
        ("project", words.PROJECTS),
        ("doing", words.DOING),
    ):
        weights = zipf(len(options), 1.0)
        always(name, Table(name, [(o, o, w) for o, w in zip(options, weights, strict=True)]))
    always("intro", cast_table("intro", world.cast, "intro"))
    always("named", cast_table("named", world.cast, "named"))
    everywhere = zipf(len(world.places), 4.0)
    always("place", place_table("place", world.places, everywhere, "the"))
    always("place_at", place_table("place", world.places, everywhere, "at"))
    for form in ("a", "phrase"):
        tables[f"goal_{form}"] = lambda scene, form=form: world.goals(scene["h"].kind, form)
    for who in "hfgm":
        for attribute in OF_CHARACTERS:
            tables[f"{attribute}_{who}"] = lambda scene, who=who, attribute=attribute: getattr(
                scene[who], attribute
            )
    for place in "pq":
        tables[f"next_{place}"] = lambda scene, place=place: world.neighbors(scene[place], "the")
        tables[f"next_at_{place}"] = lambda scene, place=place: world.neighbors(scene[place], "at")
        tables[f"met_{place}"] = lambda scene, place=place: world.residents(scene[place], "named")
        tables[f"seen_{place}"] = lambda scene, place=place: world.residents(scene[place], "intro")
        tables[f"found_{place}"] = lambda scene, place=place: world.found(scene[place].the)
        tables[f"spot_{place}"] = lambda scene, place=place: world.spots[scene[place].the]
        tables[f"hidden_{place}"] = lambda scene, place=place: world.hidden(
            scene["t"].noun, scene[place].land
        )
    tables["gestures_friend"] = lambda scene: scene["h"].friend.gestures
    tables["found_near"] = lambda scene: world.found(scene["h"].near.the)
    tables["ailments_friend"] = lambda scene: scene["h"].friend.ailments
    tables["wish_m"] = lambda scene: world.found(scene["m"].near.the)
    keyed("smell", "pq", words.SMELLS, 4, lambda place: (place.the,))
    keyed("sound", "pq", words.SOUNDS, 4, lambda place: (place.the,))
    keyed("weather", "pq", words.WEATHERS, 3, lambda place: (place.the,))
    keyed("game", "hfgm", words.GAMES, 3, lambda who: (who.kind,))
    keyed("doing", "fp fq gp gq mp mq", words.DOING, 3, lambda who, place: (who.kind, place.the))
    keyed("remedy", "a", words.REMEDIES, 2, lambda ailment: (ailment,))
    keyed("material", "j", words.MATERIALS, 6, lambda project: (project,))
    keyed("taste", "hfgm", words.TASTES, 3, lambda who: (who.food,))
    by_kind("mender", words.MENDERS, 2)
    by_kind("harm", words.HARMS, 2)
    by_kind("cause", words.CAUSES, 2)
    return tables
