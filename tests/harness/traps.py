"""Traps for library calls that a problem asks to build: calls from the learner's code are recorded and refused.

A call is the learner's when, walking up the stack past library frames, their code comes before ours: so an oracle in
the tests keeps the real function, and a call through `torch.nn` internals that the learner started does not escape.
What the learner's code built without a line of its own to run, the grader calls from behind a border, which counts as
theirs. A stack with none of them is a thread that was handed the bare function: ours start none, so it is theirs.
"""

import functools
import importlib
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch

ALIASES = ("torch", "torch.nn.functional", "torch.special", "torch.Tensor", "torch._C._nn", "torch.nn.init")
"""Where torch keeps further names of one function."""


class ForbiddenCall(RuntimeError):
    """A library call that this problem asks to build."""


class Traps:
    """All trapped names of one problem, and the calls that fell in."""

    def __init__(
        self, names: tuple[str, ...], owns: Callable[[str], bool], ours: Callable[[str], bool]
    ) -> None:
        self.names, self.hits = names, []
        self._owns, self._ours = functools.cache(owns), functools.cache(ours)
        self._targets: dict[int, tuple[Any, str]] = {}  # id of an original -> (original, name)
        self.borders: set[int] = set()  # ids of code
        self.hits: list[dict[str, Any]]

    def install(self) -> None:
        """Put a wrapper at every name and its aliases; in a process that ends after the run, for good."""
        for name in self.names:
            found = resolve(name)
            if found is None:
                continue
            home, attribute, original = found
            self._targets.setdefault(id(original), (original, name))
            if isinstance(original, type):
                self._trap_class(original, name)
                continue
            setattr(home, attribute, self._wrapper(original, name))
            for place in ALIASES:
                alias = resolve(f"{place}.{attribute}")
                if name.startswith("torch.") and alias and alias[2] is not original and callable(alias[2]):
                    self._targets.setdefault(id(alias[2]), (alias[2], name))
                if name.startswith("torch.") and alias and not hasattr(alias[2], "__trapped__"):
                    setattr(alias[0], attribute, self._wrapper(alias[2], name))

    def name_of(self, value: Any) -> str:
        """The forbidden name that a value is, binds, is a subclass of or took its parts from; else empty."""
        while isinstance(value, functools.partial):
            value = value.func
        if id(value) in self._targets and self._targets[id(value)][0] is value:
            return self._targets[id(value)][1]
        if hasattr(value, "__trapped__"):
            return str(value.__trapped__)
        for part in value.modules() if isinstance(value, torch.nn.Module) else ():
            if name := self.name_of(part.forward) or self.name_of(type(part)):
                return name
        if isinstance(value, type):
            for original, name in self._targets.values():
                if isinstance(original, type) and (issubclass(value, original) or _has_of(value, original)):
                    return name
        return ""

    def caller(self, depth: int = 2) -> tuple[str, int] | None:
        """Where in the learner's code a call comes from, ("", 0) when no line is known; None when it is ours."""
        frame = sys._getframe(depth)
        while frame is not None and id(frame.f_code) not in self.borders:
            filename = frame.f_code.co_filename
            if self._owns(filename):
                return filename, frame.f_lineno
            if self._ours(filename):
                return None
            frame = frame.f_back
        return "", 0

    def refuse(self, name: str, place: tuple[str, int] | None) -> None:
        """Record a call and raise. Raises: ForbiddenCall, always."""
        file, line = place or ("", 0)
        if len(self.hits) < 20:
            self.hits.append({"name": name, "file": file, "line": line})
        raise ForbiddenCall(f"{name} is what this problem asks you to build; it is not allowed here")

    def _wrapper(self, original: Any, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            place = self.caller()
            if place is not None:
                self.refuse(name, place)
            return original(*args, **kwargs)

        trapped: Any = call
        functools.update_wrapper(
            trapped, original, assigned=("__name__", "__doc__", "__qualname__"), updated=()
        )
        trapped.__trapped__ = name
        return trapped

    def _trap_class(self, original: type, name: str) -> None:
        inner = original.__init__
        if hasattr(inner, "__trapped__") and "__init__" in vars(original):
            return

        def __init__(instance: Any, *args: Any, **kwargs: Any) -> None:
            place = self.caller()
            kind = type(instance)
            if place is None and kind is not original:
                home = getattr(sys.modules.get(kind.__module__), "__file__", None) or ""
                place = (home, 0) if self._owns(home) else None
            if place is not None:
                self.refuse(name, place)
            inner(instance, *args, **kwargs)

        trapped: Any = functools.update_wrapper(__init__, inner, updated=())
        trapped.__trapped__ = name
        original.__init__ = trapped


def _has_of(value: type, original: type) -> bool:
    """Whether a class took a function out of another one that is no base of it."""
    taken = {v for base in original.__mro__ if not issubclass(value, base) for v in _functions(base)}
    return any(v in taken for base in value.__mro__ for v in _functions(base))


def _functions(kind: type) -> list[FunctionType]:
    return [value for value in vars(kind).values() if isinstance(value, FunctionType)]


def resolve(dotted: str) -> tuple[Any, str, Any] | None:
    """(where it hangs, its last name, the thing itself), or None when this version of the library has no such name."""
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            home: Any = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:-1]:
            home = getattr(home, part, None)
        value = getattr(home, parts[-1], None) if home is not None else None
        return None if value is None else (home, parts[-1], value)
    return None
