"""From a stage and an implementation to its door: names and signatures checked, what is missing borrowed aloud.

    parts = door("a1_basics", "learner")
    parts.run_get_batch(...)        # the learner's, once its problem passes; else the reference's
    own_functions(parts)            # which are the learner's

The reference is a module that must offer its whole protocol. Any other implementation may be unfinished: a function
that is missing, still a stub, or graded and not passing is borrowed from the reference, and a line says so.
"""

import ast
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, overload

from shared.doors import grades
from shared.doors import load as loading
from shared.doors.exercise import exercises, hooks
from shared.doors.protocols import BasicsDoor
from shared.doors.stubs import is_stub
from shared.doors.systems import SystemsDoor
from shared.errors import ContractError

PROTOCOLS: Mapping[str, type] = {"a1_basics": BasicsDoor, "a2_systems": SystemsDoor}


@overload
def door(stage: Literal["a1_basics"], impl: str = "reference") -> BasicsDoor: ...
@overload
def door(stage: Literal["a2_systems"], impl: str = "reference") -> SystemsDoor: ...
@overload
def door(stage: str, impl: str = "reference") -> Any: ...
def door(stage: str, impl: str = "reference") -> Any:
    """The door of `stage` as `impl` offers it: reference, learner, a dotted package, or a path.

    Raises:
        ContractError: no such stage or implementation, or functions whose parameters differ from the protocol's: all
            mismatches are listed at once.
    """
    if stage not in PROTOCOLS:
        raise ContractError(f"there is no stage {stage!r} with a door; known: {', '.join(PROTOCOLS)}")
    module = loading.load(stage, impl)
    if impl == "reference":
        _require_contract(stage, impl, _functions(module), complete=True)
        return module
    return ComposedDoor(stage, impl, module)


class ComposedDoor:
    """One implementation's own functions, completed from the reference.

    Which are its own is decided when the door is opened, and said once on stderr. The reference is loaded only when
    something is borrowed from it.
    """

    def __init__(self, stage: str, impl: str, module: ModuleType) -> None:
        tree = ast.parse(loading.locate(stage, impl).file.read_text(encoding="utf-8"))
        functions = _functions(module).items()
        written = {name: function for name, function in functions if not is_stub(tree, name)}
        _require_contract(stage, impl, written, complete=False)
        _refuse_reference(stage, impl, written)
        verdicts = _verdicts(stage, impl, written)
        self._own = {name: written[name] for name, verdict in verdicts.items() if verdict == "own"}
        borrowed = {name: verdict for name, verdict in verdicts.items() if verdict != "own"}
        for name in verdicts:
            setattr(self, name, self._own[name] if name in self._own else _from_reference(stage, name))
        _say_once(_notice(stage, impl, self._own, borrowed))


def _from_reference(stage: str, name: str) -> Callable[..., Any]:
    """The reference's function of this name, looked up when it is first called."""

    def borrowed(*args: Any, **kwargs: Any) -> Any:
        return getattr(loading.load(stage, "reference"), name)(*args, **kwargs)

    return borrowed


def own_functions(parts: Any) -> frozenset[str]:
    """Names of the functions of this door that are not the reference's."""
    return frozenset(parts._own) if isinstance(parts, ComposedDoor) else frozenset()


def source_roots(stage: str, impl: str) -> list[str]:
    """The packages and paths whose source text decides what this implementation computes, for step keys."""
    if impl == "reference" and not loading.is_release(loading.WORKSPACE):
        return [stage]
    roots = [str(path) for path in loading.locate(stage, impl).own]
    if loading.is_release(loading.WORKSPACE):
        return [*roots, str(loading.reference_root() / stage)]
    return [stage, *roots]


def contract(stage: str) -> dict[str, inspect.Signature]:
    """Function name to signature, as the stage's protocol asks for it."""
    functions = vars(PROTOCOLS[stage]).items()
    found = {
        name: inspect.signature(function) for name, function in functions if inspect.isfunction(function)
    }
    return {
        name: signature.replace(parameters=list(signature.parameters.values())[1:])  # without self
        for name, signature in found.items()
        if not name.startswith("_")
    }


def mismatches(stage: str, functions: Mapping[str, Callable[..., Any]], *, complete: bool) -> list[str]:
    """Every way in which these functions differ from the stage's protocol; `complete` asks for all of them.

    Names and order of parameters count, and whether each can be left out. Further parameters with defaults are
    allowed.
    """
    found = []
    for name, wanted in contract(stage).items():
        if name not in functions:
            found += [f"{name}{_names(wanted)} is missing"] if complete else []
            continue
        if not callable(functions[name]):
            found.append(f"{name} is {type(functions[name]).__name__}, wanted a function{_names(wanted)}")
            continue
        got = inspect.signature(functions[name])
        if not _accepts(wanted, got):
            found.append(f"{name}{_names(got)} should be {name}{_names(wanted)}")
    return found


def _functions(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}


def _require_contract(stage: str, impl: str, functions: Mapping[str, Any], *, complete: bool) -> None:
    found = mismatches(stage, functions, complete=complete)
    if found:
        rows = "\n  ".join(found)
        protocol_file = PROTOCOLS[stage].__module__.replace(".", "/") + ".py"
        raise ContractError(
            f"the implementation {impl!r} of {stage} does not fit its door in {len(found)} places:\n  {rows}\n"
            f"Mend these names and parameters; {protocol_file} says what each takes and returns."
        )


def _accepts(wanted: inspect.Signature, got: inspect.Signature) -> bool:
    given = list(got.parameters.values())
    takes_any_keyword = any(parameter.kind is parameter.VAR_KEYWORD for parameter in given)
    named = [
        parameter
        for parameter in given
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    kinds = {parameter.kind for parameter in given}
    for index, parameter in enumerate(wanted.parameters.values()):
        if parameter.kind is parameter.VAR_POSITIONAL and parameter.kind not in kinds:
            return False
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if index >= len(named) or named[index].name != parameter.name:
            return takes_any_keyword and index >= len(named)
        if parameter.default is not parameter.empty and named[index].default is parameter.empty:
            return False
    return all(parameter.default is not parameter.empty for parameter in named[_count(wanted) :])


def _count(signature: inspect.Signature) -> int:
    many = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return sum(parameter.kind not in many for parameter in signature.parameters.values())


def _names(signature: inspect.Signature) -> str:
    stars = {inspect.Parameter.VAR_KEYWORD: "**", inspect.Parameter.VAR_POSITIONAL: "*"}
    rows = [stars.get(parameter.kind, "") + parameter.name for parameter in signature.parameters.values()]
    return f"({', '.join(rows)})"


def _refuse_reference(stage: str, impl: str, functions: Mapping[str, Any]) -> None:
    inside = loading.locate(stage, "reference").file.parent
    for name in contract(stage):
        code = getattr(functions.get(name), "__code__", None)
        if code is not None and inside in Path(code.co_filename).resolve().parents:
            raise ContractError(
                f"{name} of {impl!r} is the reference's own function. Borrowing is done by leaving the stub as it is "
                f"(or `make borrow`), and is always said aloud; importing {stage} passes it off as yours."
            )


def _verdicts(stage: str, impl: str, written: Mapping[str, Any]) -> dict[str, str]:
    """Door function to 'own', or to the reason why it is borrowed.

    Only a learner's tree keeps grades; elsewhere whatever is written counts.
    """
    source = loading.locate(stage, impl)
    listed = exercises(stage)
    graded_by: dict[str, tuple[str, ...]] = {}
    for exercise in listed:
        graded_by |= {name: (*graded_by.get(name, ()), exercise.id) for name in exercise.door}
    rests_on = hooks(stage)
    passed, changed, taken = {exercise.id for exercise in listed}, set[str](), set[str]()
    if source.kind == "learner":
        tree = source.own[0]
        functions, problems = grades.passed_functions(tree, stage), grades.passed_problems(tree, stage)
        passed = {e.id for e in listed if not e.door or (e.id in problems and set(e.door) <= functions)}
        changed, taken = grades.changed_functions(tree, stage), grades.borrowed(tree, stage)
    stale = {exercise.id for exercise in listed if set(exercise.door) & changed}
    verdicts = {}
    for name in contract(stage):
        needs = rests_on.get(name, graded_by.get(name, ()))
        unsolved = [problem for problem in needs if problem not in passed]
        if name in taken:
            verdicts[name] = "borrowed by you"
        elif name not in written:
            verdicts[name] = "not started"
        elif unsolved:
            why = "changed since it passed" if set(unsolved) <= stale else "not passed"
            verdicts[name] = f"{', '.join(unsolved)} {why}: make grade STAGE={stage}"
        else:
            verdicts[name] = "own"
    return verdicts


def _notice(stage: str, impl: str, own: Mapping[str, Any], borrowed: Mapping[str, str]) -> str:
    reasons = [f"{name} ({reason})" for name, reason in borrowed.items() if reason != "not started"]
    rest = len(borrowed) - len(reasons)
    reasons += [f"{rest} not started"] if rest else []
    mine = ", ".join(own) or "nothing yet"
    return f"{stage}, {impl}: own: {mine}; borrowed from the reference: {', '.join(reasons) or 'nothing'}"


_SAID: set[str] = set()


def _say_once(line: str) -> None:
    """Once in a process, and of several ranks by the first."""
    if line not in _SAID and os.environ.get("RANK", "0") == "0":
        _SAID.add(line)
        print(line, file=sys.stderr, flush=True)
