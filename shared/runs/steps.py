"""A step of a pipeline: skipped when its key says that it was done, and what it records of its config."""

from typing import Any

from shared.runs.config import to_dict
from shared.runs.step_key import PLACES
from shared.runs.step_key import step_key as step_key  # programs ask for all three in one line
from shared.store.artifacts import Artifact, Store


def recorded(config: Any) -> dict[str, Any]:
    """What an artifact keeps of the config that made it: all but places, names and prices."""
    return {key: value for key, value in to_dict(config).items() if key not in PLACES}


def already_made(store: Store, key: str, name: str) -> Artifact | None:
    """What a step with this key made before, if it is still there and whole; says so, and points `name` at it."""
    found = store.find_key(key)
    if found is None:
        return None
    store.give_name(found, name)
    print(
        f"unchanged: {found.kind} '{name}' is {found.digest[:12]}, made before from the same inputs by the same code"
    )
    return found
