"""The functions that decide a verdict, as they were before learner code was imported: a replaced one is noticed."""

import builtins
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import pytest

SEALED_MODULES = (
    "_pytest.runner", "_pytest.python", "_pytest.python_api", "_pytest.reports", "_pytest.outcomes", "_pytest.raises",
    "_pytest.skipping", "_pytest.main", "_pytest.fixtures", "_pytest.nodes", "math", "numpy.testing",
    "tests.harness.explain", "tests.harness.child", "tests.harness.records",
)  # fmt: skip
SEALED_NAMES = {
    "builtins": "abs all any bool dict enumerate float getattr hasattr int isinstance iter len list max min next range "
    "repr round set sorted str sum tuple type zip bytes",
    "torch": "equal allclose isclose as_tensor from_numpy tensor no_grad enable_grad",
    "torch.testing": "assert_close",
    "torch.Tensor": "__eq__ __ne__ __lt__ __gt__ equal allclose detach numpy tolist item double to max min abs all any",
    "numpy": "array_equal allclose isclose asarray array abs isnan where argmax unravel_index all any ndarray float64",
    "json": "dumps",
    "os": "write _exit getpid",
}
PARTS_OF_A_TEST = ("obj", "callspec", "_fixtureinfo")


class Seals:
    """The identity of every function and constant a verdict depends on, as it was before learner code was imported.

    The session's part (its tests, and the plugins' hooks) is looked at before each test: a patch that undoes itself
    when its turn comes must be in place by then.
    """

    def __init__(self, folders: list[Path], session: pytest.Session) -> None:
        places = tuple(f"{folder.resolve()}{os.sep}" for folder in folders)
        loaded = [(n, getattr(m, "__file__", None) or "") for n, m in list(sys.modules.items())]
        names = (*SEALED_MODULES, *(n for n, file in loaded if places and file.startswith(places)))
        # The modules themselves: what stands in `sys.modules` may be laid over.
        self._modules = {name: vars(sys.modules[name]) for name in names if name in sys.modules}
        self._before = dict(self._walk())
        self._items, self._config, self._plugins = (
            list(session.items),
            session.config,
            session.config.pluginmanager,
        )
        self._session_before = dict(self._walk_session())
        self._found: set[str] = set()

    def look_at_session(self) -> None:
        """Remember what of the session is no longer, or not yet, what it was."""
        now = dict(self._walk_session())
        for name in {**self._session_before, **now}:
            if not _same(self._session_before.get(name), now.get(name)):
                self._found.add(name)

    def broken(self) -> list[str]:
        """The names whose function is no longer the same."""
        self.look_at_session()
        now = dict(self._walk())
        changed = (name for name, value in self._before.items() if not _same(value, now.get(name)))
        new = now.keys() - self._before.keys()
        laid_over = (name for name in new if hasattr(builtins, name.rpartition(".")[2]))
        return sorted({*changed, *laid_over, *self._found})

    def _walk(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for module_name, held in self._modules.items():
            for name, value in list(held.items()):
                yield f"{module_name}.{name}", _face(value)  # a tolerance or a library decides as well
                if isinstance(value, type) and value.__module__ == module_name:
                    for k, v in vars(value).items():
                        if callable(v):
                            yield f"{module_name}.{name}.{k}", _face(v)
        for home_name, names in SEALED_NAMES.items():
            home: Any = sys.modules.get(home_name) or sys.modules["torch"].Tensor
            for name in names.split():
                yield f"{home_name}.{name}", _face(getattr(home, name, None))

    def _walk_session(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for item in self._items:
            for name in PARTS_OF_A_TEST:
                yield f"{name} of the test {item.name}", _face(getattr(item, name, None))
            for name, value in vars(item).items():
                if callable(value) and name not in ("_obj", "_request"):  # a method laid over the class's own
                    yield f"{name} of the test {item.name}", _face(value)
        yield "pytest's hooks", (self._config.hook, self._plugins.hook)
        for name, caller in vars(self._plugins.hook).items():
            yield f"pytest's call of {name}", _face(getattr(caller, "_hookexec", None))
            implementations = caller.get_hookimpls() if hasattr(caller, "get_hookimpls") else []
            for number, implementation in enumerate(implementations):
                yield f"pytest's hook {name} ({number})", _face(implementation.function)
        for name, plugin in self._plugins.list_name_plugin():
            for key, value in vars(plugin).items() if hasattr(plugin, "__dict__") else []:
                if isinstance(value, (FunctionType, MethodType)):
                    yield f"{key} of pytest's plugin {name}", _face(value)


def _face(value: Any, depth: int = 2) -> tuple[Any, ...]:
    """A function, the code it holds and the functions it closes over: replacing any of them is noticed."""
    function = value.__func__ if isinstance(value, MethodType) else value
    if not isinstance(function, FunctionType):
        return (function,)
    kept: list[Any] = [function, function.__code__]
    for cell in (function.__closure__ or ()) if depth else ():
        try:
            held = cell.cell_contents
        except ValueError:  # empty as yet
            continue
        if isinstance(held, (FunctionType, MethodType)):
            kept += _face(held, depth - 1)
    return tuple(kept)


def _same(before: tuple[Any, ...] | None, now: tuple[Any, ...] | None) -> bool:
    if before is None or now is None or len(before) != len(now):
        return False
    return all(one is other for one, other in zip(before, now, strict=True))
