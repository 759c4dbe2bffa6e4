"""The kinds of artifact there are: one row each, so that an unknown kind, an old schema or a missing file has
one home.

A kind is added here, with its reader and writer in `shared/store/kinds/`, when a program first needs it.
"""

import difflib
from dataclasses import dataclass

from shared.errors import ArtifactError


@dataclass(frozen=True)
class Kind:
    """What the store must know of a kind to check it and to say where it comes from."""

    schema: int  # the layout that this code writes and reads; raised when old readers would misread
    required: tuple[str, ...]  # files without which an artifact of this kind is no artifact
    made_by: str  # the command when one is missing; what it reads is of the same name, by custom


KINDS: dict[str, Kind] = {
    "Corpus": Kind(
        1,
        ("corpus.json",),
        "python -m shared.corpora.make --name=NAME, or, for a public data set, make data DATASET=NAME",
    ),
    "Tokenizer": Kind(
        2,
        ("vocab.json", "merges.txt", "tokenizer_config.json"),
        "python -m a1_basics.run.train_tokenizer --corpus=NAME --name=NAME",
    ),
    "Shards": Kind(
        1, ("shards.json",), "python -m a1_basics.run.encode --corpus=NAME --tokenizer=NAME --name=NAME"
    ),
    "Checkpoint": Kind(
        1, ("model.safetensors", "model.json"), "python -m a1_basics.run.train_lm --shards=NAME --name=NAME"
    ),
    "RunLog": Kind(
        1, ("log.jsonl", "config.json"), "python -m a1_basics.run.train_lm --shards=NAME --name=NAME"
    ),
    "Runs": Kind(
        1,
        ("runs.jsonl", "curves.jsonl"),
        "a sweep, such as python -m a1_basics.run.learning_rate --name=NAME",
    ),
    "EvalReport": Kind(
        1, ("report.json",), "python -m a1_basics.run.evaluate_lm --checkpoint=NAME --name=NAME"
    ),
    "Samples": Kind(1, ("samples.jsonl",), "python -m a1_basics.run.generate --checkpoint=NAME --name=NAME"),
    "ResultCard": Kind(
        1, ("card.json", "card.md"), "python -m a1_basics.run.leaderboard_card --checkpoint=NAME --name=NAME"
    ),
    "Report": Kind(1, ("index.html",), "python -m shared.report.make --checkpoint=NAME --name=NAME"),
}


def kind_of(kind: str) -> Kind:
    """The catalog's row for a kind.

    Raises:
        ArtifactError: no such kind; names the nearest.
    """
    if kind in KINDS:
        return KINDS[kind]
    near = difflib.get_close_matches(kind.lower(), [name.lower() for name in KINDS], n=1)
    guess = next((f"did you mean {name}? " for name in KINDS if name.lower() in near), "")
    raise ArtifactError(
        f"there is no kind of artifact called {kind!r}; {guess}The kinds are: {', '.join(KINDS)}"
    )
