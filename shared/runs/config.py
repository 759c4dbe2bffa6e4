"""Typed configuration: a frozen dataclass, a few named presets, and a command line that follows from both.

A program states its settings once, as a frozen dataclass whose fields carry a unit and a reason in their comment. The
comment becomes the help text, a preset is the point from which the flags depart, and the whole config is written as
JSON beside what it made. So `--help`, the saved file and the code cannot disagree.

    PRESETS = {"toy": TrainConfig(), "one_gpu": one_gpu}  # values, or functions whose docstring describes them
    flags = ["--preset", "one_gpu", "--steps", "500"]
    config = parse(PRESETS, flags, program="python -m a1_basics.run.train_lm")
"""

import dataclasses
import difflib
import enum
import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from shared.errors import ConfigError
from shared.store.disk import replace_text

C = TypeVar("C")
Presets = Mapping[str, C | Callable[[], C]]


def parse(presets: Presets[C], argv: Sequence[str], *, program: str = "", description: str = "") -> C:
    """The config that `argv` asks for: a preset (the first one unless `--preset` names another) and the
    flags over it.

    `--help` prints presets and fields and exits with status 0; a value of the wrong type is reported by
    tyro, which exits with status 2.

    Raises:
        ConfigError: an unknown preset or flag; the message names the nearest known one.
    """
    import tyro  # half a second: only programs that are started pay it

    name, rest = _take_preset(presets, argv)
    start = preset(presets, name)
    parsed, unknown = tyro.cli(
        type(start),
        default=start,
        args=rest,
        prog=program or None,
        description=_help_text(presets, name, description),
        return_unknown_args=True,
        config=(tyro.conf.AvoidSubcommands,),
    )
    if unknown:
        raise ConfigError(_unknown_flag(unknown[0], start, program))
    return parsed


def preset(presets: Presets[C], name: str) -> C:
    """The config called `name`.

    Raises:
        ConfigError: there is no such preset; the message names the nearest.
    """
    if name not in presets:
        raise ConfigError(
            f"there is no preset {name!r}{did_you_mean(name, presets)} Known: {', '.join(presets)}."
        )
    found = presets[name]
    return found if _is_config(found) else found()  # type: ignore[operator, return-value]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'steps'?` when a known word is close to this one, else a full stop."""
    ranked = sorted(known, key=lambda candidate: _closeness(word, candidate), reverse=True)
    is_close = bool(ranked) and _closeness(word, ranked[0]) > 0.6
    return f"; did you mean {ranked[0]!r}?" if is_close else "."


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain JSON values, nested dataclasses as nested objects; `from_dict` is its inverse."""
    return {field.name: _to_json(getattr(config, field.name)) for field in dataclasses.fields(config)}


def from_dict(config_class: type[C], values: Mapping[str, Any]) -> C:
    """The config that `to_dict` wrote down; a field that is absent keeps its default.

    Raises:
        ConfigError: a key that the class lacks (the nearest is named), a missing key without default, or a
        value of
            another type than the field's.
    """
    return _dataclass_from(config_class, values, config_class.__name__)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as one level with dotted keys, `{"model": {"d_ff": 8}}` as `{"model.d_ff": 8}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (value in first, value in second) where two saved configs differ; None: not there."""
    left, right = flatten(first), flatten(second)
    keys = [*left, *(key for key in right if key not in left)]
    return {key: (left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)}


def field_names(config: Any, prefix: str = "") -> list[str]:
    """Every field of a config, those of nested configs with dots: the flags without their dashes."""
    names = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if _is_config(value):
            names += field_names(value, f"{prefix}{field.name}.")
        else:
            names.append(prefix + field.name)
    return names


def _is_config(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _closeness(word: str, candidate: str) -> float:
    """Between 0 and 1. Letters in sorted order count as well, since most slips swap neighbours."""
    left = word.lower().replace("-", "_").lstrip("_")
    right = candidate.lower().replace("-", "_").lstrip("_")

    def ratio(a: str, b: str) -> float:
        in_order = difflib.SequenceMatcher(None, a, b).ratio()
        return (in_order + difflib.SequenceMatcher(None, sorted(a), sorted(b)).ratio()) / 2

    return max(ratio(left, right), ratio(left, right.rpartition(".")[2]) - 0.01)


def _take_preset(presets: Presets[Any], argv: Sequence[str]) -> tuple[str, list[str]]:
    """Split `--preset NAME` or `--preset=NAME` off the arguments; the last one wins, as with every flag."""
    name, rest, arguments = next(iter(presets)), [], iter(argv)
    for argument in arguments:
        if argument == "--preset":
            chosen = next(arguments, None)
            if chosen is None or chosen.startswith("--"):
                raise ConfigError(f"--preset wants a name. Known: {', '.join(presets)}.")
            name = chosen
        elif argument.startswith("--preset="):
            name = argument.removeprefix("--preset=")
        else:
            rest.append(argument)
    return name, rest


def _help_text(presets: Presets[Any], chosen: str, description: str) -> str:
    width = max(len(name) for name in presets)
    rows = [f"  {name:<{width}}  {_describe(presets, name)}" for name in presets]
    return "\n".join(
        [
            description.strip(),
            "",
            f"presets (--preset NAME; the defaults below are those of {chosen!r}):",
            *rows,
            "",
            "also: --dry-run prints what the config would cost, and does nothing",
        ]
    ).strip()


def _describe(presets: Presets[Any], name: str) -> str:
    """One line on a preset: its function's docstring, or how it differs from the first preset."""
    found, first = presets[name], next(iter(presets))
    if not _is_config(found):
        return (found.__doc__ or "").strip().split("\n")[0] or found.__name__
    if name == first:
        return "the default"
    changed = differences(to_dict(preset(presets, first)), to_dict(found))
    return ", ".join(f"{key}={new}" for key, (_, new) in changed.items()) or f"the same as {first}"


def _unknown_flag(argument: str, start: Any, program: str) -> str:
    word, _, value = argument.lstrip("-").partition("=")
    known = [*field_names(start), "preset", "dry_run", "help"]
    ask = f" `{program} --help` lists them all." if program else ""
    if not argument.startswith("-") and word.replace("-", "_") in known:
        return f"{argument!r} is not a flag; write --{word}={value or 'VALUE'}.{ask}"
    flags = ["--" + name.replace("_", "-") for name in known]
    return f"there is no setting {argument!r}{did_you_mean('--' + word, flags)}{ask}"


def _to_json(value: Any) -> Any:
    if _is_config(value):
        return to_dict(value)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"a config holds numbers, strings, paths, lists and dataclasses, not {type(value).__name__}"
    )


def _dataclass_from(config_class: type, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{where}: wanted an object with the fields of {config_class.__name__}, got {values!r}"
        )
    fields = {field.name: field for field in dataclasses.fields(config_class) if field.init}
    for key in values:
        if key not in fields:
            raise ConfigError(f"{where}: there is no setting {key!r}{did_you_mean(key, fields)}")
    for name, field in fields.items():
        has_default = (
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        )
        if name not in values and not has_default:
            raise ConfigError(f"{where}: setting {name!r} is missing and has no default")
    hints = typing.get_type_hints(config_class)
    return config_class(
        **{key: _value_from(hints[key], value, f"{where}.{key}") for key, value in values.items()}
    )


def _value_from(hint: Any, value: Any, where: str) -> Any:
    """Turn one JSON value into what the annotation says, or refuse it."""
    origin, parameters = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        refusals = []
        for choice in parameters:
            try:
                return _value_from(choice, value, where)
            except ConfigError as error:
                refusals.append(error)
        raise refusals[0]
    if origin is typing.Literal and value in parameters:
        return value
    if dataclasses.is_dataclass(hint):
        return _dataclass_from(typing.cast(type, hint), value, where)
    if origin in (tuple, list) and isinstance(value, list):
        each = parameters[:1] * len(value) if origin is list or parameters[1:] == (...,) else parameters
        if len(each) == len(value):
            pairs = zip(each, value, strict=True)
            return origin(
                _value_from(part, item, f"{where}[{index}]") for index, (part, item) in enumerate(pairs)
            )
    if origin is dict and isinstance(value, Mapping):
        return {key: _value_from(parameters[1], item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(hint, type) and origin is None:
        if issubclass(hint, enum.Enum) and isinstance(value, str) and value in hint.__members__:
            return hint[value]
        if issubclass(hint, Path) and isinstance(value, str):
            return hint(value)
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, hint) and not (hint in (int, float) and isinstance(value, bool)):
            return value
    wanted = getattr(hint, "__name__", None) if origin is None else str(hint)
    raise ConfigError(f"{where}: wanted {wanted or hint}, got {value!r}")


def write_json(path: Path, config: Any) -> None:
    """Save a config (a dataclass, or a dict made by `to_dict`) as readable JSON, replaced in one step."""
    values = to_dict(config) if _is_config(config) else dict(config)
    replace_text(path, json.dumps(values, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A saved config as a dict.

    Raises:
        ConfigError: the file is missing or is not a JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read as a config: {error}. Restore it; or, if it is damaged, remove it and run the "
            "same command again"
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}, wanted a JSON object")
    return values
