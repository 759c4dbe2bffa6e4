"""The modules of the tests as learner code finds them in `sys.modules`: there, and shut.

Our own code, pytest and the libraries see through to the module; what a line of the learner's asks of it, or lays into
it, is told and refused. An oracle is a solution.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

HARMLESS = {"__name__", "__file__", "__doc__", "__class__"}
"""What code that lists all modules asks each of them."""


def shut_modules(
    places: tuple[str, ...],
    owns: Callable[[str], bool],
    refuse: Callable[[str, str, Any], NoReturn],
) -> None:
    """Put a shut one in the place of each loaded module whose file lies in these folders; for good.

    `refuse(what, module name, the learner's frame)` tells and raises; `what` is "reads" or "changes".
    """
    frame_of = sys._getframe
    found = [(name, module) for name, module in list(sys.modules.items()) if _file(module).startswith(places)]
    # A package without a file of its own leads to what lies in it, `tests` itself for one.
    packages = {name.rpartition(".")[0] for name, _ in found if "." in name}
    found += [(name, sys.modules[name]) for name in packages - dict(found).keys() if name in sys.modules]
    for name, module in found:
        sys.modules[name] = _shut(name, module, owns, refuse, frame_of)


def _shut(name: str, module: ModuleType, owns: Any, refuse: Any, frame_of: Any) -> ModuleType:
    """One module, held where only this function's inner ones reach it."""

    class Shut(ModuleType):
        """A module of the tests."""

        def __getattribute__(self, attribute: str) -> Any:
            frame = frame_of(1)
            if attribute not in HARMLESS and owns(frame.f_code.co_filename):
                refuse("reads", name, frame)
            return getattr(module, attribute)

        def __setattr__(self, attribute: str, value: Any) -> None:
            frame = frame_of(1)
            if owns(frame.f_code.co_filename):
                refuse("changes", name, frame)
            setattr(module, attribute, value)

        def __delattr__(self, attribute: str) -> None:
            frame = frame_of(1)
            if owns(frame.f_code.co_filename):
                refuse("changes", name, frame)
            delattr(module, attribute)

    return Shut(name)


def _file(module: Any) -> str:
    return getattr(module, "__file__", None) or ""
