"""Configs: presets, flags, nearest names, and the round trip through JSON."""

import enum
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigError
from shared.runs.config import (
    did_you_mean,
    differences,
    from_dict,
    parse,
    preset,
    read_json,
    to_dict,
    write_json,
)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Shape:
    d_model: int = 64  # width of the residual stream
    num_kv_heads: int | None = None


@dataclass(frozen=True)
class Job:
    shape: Shape = field(default_factory=Shape)
    steps: int = 100  # optimizer steps
    max_learning_rate: float = 1e-3
    is_tied: bool = False
    errors: Literal["strict", "replace"] = "strict"
    colour: Colour = Colour.RED
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, str] = (1, "a")
    weights: dict[str, float] = field(default_factory=dict)
    store: Path = Path("artifacts")


def large() -> Job:
    """A night on one GPU."""
    return replace(TOY, steps=9000)


TOY = Job()
PRESETS = {"toy": TOY, "large": large, "tiny": replace(TOY, steps=3, shape=Shape(d_model=8))}


def test_the_first_preset_is_the_default():
    assert parse(PRESETS, []) == TOY


@pytest.mark.parametrize(
    "argv", [["--preset", "large"], ["--preset=large"], ["--preset", "tiny", "--preset=large"]]
)
def test_a_preset_is_chosen_by_name(argv):
    assert parse(PRESETS, argv).steps == 9000


def test_flags_depart_from_the_preset_and_leave_the_rest():
    got = parse(PRESETS, ["--preset", "tiny", "--shape.num-kv-heads", "2", "--errors=replace", "--is-tied"])
    assert got == replace(
        TOY, steps=3, shape=Shape(d_model=8, num_kv_heads=2), errors="replace", is_tied=True
    )


@pytest.mark.parametrize(
    ("argv", "nearest"),
    [
        (["--stesp", "3"], "--steps"),
        (["--lerning-rate=1"], "--max-learning-rate"),
        (["--dmodel", "3"], "--shape.d-model"),
        (["--d_modle", "3"], "--shape.d-model"),
        (["--preset", "tyni"], "'tiny'"),
        (["--presett", "tiny"], "--preset"),
        (["--dry-rum"], "--dry-run"),
        (["steps=3"], "write --steps=3"),
    ],
)
def test_an_unknown_word_names_the_nearest(argv, nearest):
    with pytest.raises(ConfigError) as raised:
        parse(PRESETS, argv, program="python -m x")
    assert nearest in str(raised.value)


def test_nothing_is_near_to_a_word_from_elsewhere():
    assert did_you_mean("zzqqzz", ["steps", "store"]) == "."


def test_preset_without_a_name_is_an_error():
    with pytest.raises(ConfigError, match="wants a name"):
        parse(PRESETS, ["--preset"])


def test_a_value_of_the_wrong_type_exits_with_two(capsys):
    with pytest.raises(SystemExit) as raised:
        parse(PRESETS, ["--steps", "many"])
    assert raised.value.code == 2
    assert "--steps" in capsys.readouterr().err


def test_help_names_presets_fields_and_their_comments(capsys):
    with pytest.raises(SystemExit) as raised:
        parse(PRESETS, ["--help"], program="python -m x", description="Trains.")
    said = capsys.readouterr().out
    assert raised.value.code == 0
    for words in (
        "Trains.",
        "A night on one GPU.",
        "steps=3",
        "optimizer steps",
        "residual stream",
        "--dry-run",
    ):
        assert words in said


JOBS = st.builds(
    Job,
    shape=st.builds(Shape, d_model=st.integers(1, 999), num_kv_heads=st.none() | st.integers(1, 9)),
    steps=st.integers(),
    max_learning_rate=st.floats(allow_nan=False),
    is_tied=st.booleans(),
    errors=st.sampled_from(["strict", "replace"]),
    colour=st.sampled_from(Colour),
    sizes=st.lists(st.integers()).map(tuple),
    pair=st.tuples(st.integers(), st.text()),
    weights=st.dictionaries(st.text(), st.floats(allow_nan=False)),
    store=st.sampled_from([Path("a"), Path("a/b c/ä")]),
)


@given(JOBS)
def test_from_dict_inverts_to_dict(job):
    assert from_dict(Job, to_dict(job)) == job


def test_the_round_trip_goes_through_a_file(tmp_path):
    job = replace(TOY, sizes=(3,), store=Path("päth with spaces"))
    write_json(tmp_path / "config.json", job)
    assert from_dict(Job, read_json(tmp_path / "config.json")) == job


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stpes": 3}, "steps"),
        ({"shape": {"d_modl": 3}}, "d_model"),
        ({"steps": "3"}, "Job.steps: wanted int, got '3'"),
        ({"steps": True}, "wanted int"),
        ({"steps": 1.5}, "wanted int"),
        ({"is_tied": 1}, "wanted bool"),
        ({"errors": "loud"}, "Job.errors"),
        ({"colour": "GREEN"}, "Colour"),
        ({"sizes": [1, "a"]}, "Job.sizes[1]"),
        ({"pair": [1]}, "Job.pair"),
        ({"shape": 3}, "object with the fields of Shape"),
        ({"shape": {"num_kv_heads": "x"}}, "num_kv_heads"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(values, words):
    with pytest.raises(ConfigError) as raised:
        from_dict(Job, values)
    assert words in str(raised.value)


def test_a_missing_field_without_default_is_named():
    @dataclass(frozen=True)
    class Needs:
        size: int

    with pytest.raises(ConfigError, match="'size' is missing"):
        from_dict(Needs, {})


def test_differences_are_dotted_and_symmetric():
    first, second = to_dict(TOY), to_dict(preset(PRESETS, "tiny"))
    assert differences(first, second) == {"shape.d_model": (64, 8), "steps": (100, 3)}
    assert differences(first, first) == {}
    assert differences({"a": 1}, {}) == {"a": (1, None)}


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_a_config_file_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json") as raised:
        read_json(path)
    assert content != "{" or "remove it and run the same command again" in str(raised.value)
