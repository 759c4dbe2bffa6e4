"""Check result cards again from their checkpoints and rank those that hold; 2 when one is refused."""

import sys

from a1_basics.configs import LEADERBOARD_CHECK, LeaderboardCheck
from shared.doors.resolve import door
from shared.errors import ArtifactError, WorkspaceError
from shared.leaderboard import again, board_named, compare, measure, refused
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.kinds import read_result_card

INPUTS = {"cards": "ResultCard"}
OUTPUTS: dict[str, str] = {}  # a table on the terminal, no artifact


def main(config: LeaderboardCheck) -> int:
    """Print a table of the cards that hold, best first, and why the others do not."""
    store, parts = Store(config.store), door("a1_basics", config.impl)
    rows, turned_away = [], 0
    for name in config.cards:
        try:
            artifact = store.open(name, "ResultCard")
            card = read_result_card(artifact)
            if artifact.parents.get("checkpoint") != card.get("checkpoint"):
                raise refused(artifact, "the checkpoint that it names is not the one that it descends from")
            checkpoint = store.open(card["checkpoint"], "Checkpoint")
            found = measure(store, checkpoint, board_named(card.get("board", "")), parts, config.device)
            compare(card, found, checkpoint)
            if config.again:
                again(store, checkpoint, parts, config.impl)
        except ArtifactError as error:
            print(f"✗ {name}: {error}", file=sys.stderr)
            turned_away += 1
            continue
        rows.append(
            (found["board"], found["bits_per_byte"], found["budget_fraction"], str(card.get("entrant")), name)
        )
    for board, bits, fraction, entrant, name in sorted(rows):
        print(f"✓ {board}  {bits:.4f} bits per byte  {fraction:4.0%} of the budget  {entrant}  ({name})")
    return WorkspaceError.exit_code if turned_away else 0


if __name__ == "__main__":
    sys.exit(run_program(main, LEADERBOARD_CHECK, inputs=INPUTS, outputs=OUTPUTS))
