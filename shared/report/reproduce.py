"""The commands that make a model again: one per artifact of its lineage, written from what the artifacts recorded."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.runs.config import flatten
from shared.store.artifacts import Artifact
from shared.store.catalog import KINDS


def commands(artifacts: Sequence[Artifact]) -> list[str]:
    """Commands in the order in which they must run; `artifacts` come with their parents somewhere among them."""
    names = {artifact.digest: name_of(artifact) for artifact in artifacts}
    written = [command(artifact, names) for artifact in in_order(artifacts) if artifact.kind != "RunLog"]
    return [line for line in written if line]


def name_of(artifact: Artifact) -> str:
    """The artifact's name, or the beginning of its digest when it has none."""
    return artifact.name_hint or artifact.digest[:12]


def in_order(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Parents before children; otherwise as given."""
    return [artifact for level in levels(artifacts) for artifact in level]


def levels(artifacts: Sequence[Artifact]) -> list[list[Artifact]]:
    """The artifacts by distance from the sources: each level needs only earlier ones."""
    known = {artifact.digest: artifact for artifact in artifacts}
    depth: dict[str, int] = {}

    def depth_of(digest: str) -> int:
        if digest not in depth:
            parents = [parent for parent in known[digest].parents.values() if parent in known]
            depth[digest] = 1 + max((depth_of(parent) for parent in parents), default=-1)
        return depth[digest]

    for artifact in artifacts:
        depth_of(artifact.digest)
    unique = list(known.values())
    return [
        [artifact for artifact in unique if depth[artifact.digest] == level]
        for level in range(max(depth.values(), default=-1) + 1)
    ]


def command(artifact: Artifact, names: Mapping[str, str]) -> str:
    """The command line that makes one artifact, every setting said, inputs by name; empty for an unknown kind."""
    if artifact.kind not in KINDS:
        return ""
    program = KINDS[artifact.kind].made_by.split(" --name")[0]
    settings = flatten(artifact.config)
    if artifact.kind == "Corpus" and "dataset" in settings:  # a public one: the catalog knows the rest
        program, settings = "python -m shared.corpora.fetch", {"dataset": settings["dataset"]}
    if settings.get("impl") == "reference":  # the default everywhere, and of no interest
        del settings["impl"]
    return " ".join([program, f"--name {shlex.quote(name_of(artifact))}", *flags(settings, names)])


def flags(settings: Mapping[str, Any], names: Mapping[str, str]) -> Iterable[str]:
    """Settings as flags; a setting that holds the digest of an input shows the input's name instead."""
    for key, value in settings.items():
        *path, last = key.replace("_", "-").split(".")
        flag = "--" + ".".join([*path, last])
        if isinstance(value, bool):
            yield flag if value else "--" + ".".join([*path, f"no-{last}"])
        elif isinstance(value, list):
            yield " ".join([flag, *(shlex.quote(str(item)) for item in value)])
        else:
            yield f"{flag} {shlex.quote(names.get(value, str(value)) if isinstance(value, str) else str(value))}"
