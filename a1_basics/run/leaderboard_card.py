"""Write a result card for a checkpoint: its loss measured, its budget counted, its data compared with the board's."""

import sys
from typing import Any

from a1_basics.configs import LEADERBOARD_CARD, LeaderboardCard
from shared.doors.resolve import door
from shared.leaderboard import Board, board_named, measure
from shared.runs.program import run_program
from shared.runs.steps import recorded
from shared.store.artifacts import Store
from shared.store.kinds import write_result_card

INPUTS = {"checkpoint": "Checkpoint"}
OUTPUTS = {"card": "ResultCard"}


def main(config: LeaderboardCard) -> None:
    """Publish the ResultCard `config.name` and print its page."""
    store, board = Store(config.store), board_named(config.board)
    checkpoint = store.open(config.checkpoint, "Checkpoint")
    found = measure(store, checkpoint, board, door("a1_basics", config.impl), config.device)
    card = {**found, "entrant": config.entrant, "impl": config.impl}
    text = page(card, board)
    parents = {"checkpoint": checkpoint.digest}
    with store.draft("ResultCard", config=recorded(config), parents=parents, name=config.name) as draft:
        write_result_card(draft, card, text)
    print(text)
    print(draft.artifact)


def page(card: dict[str, Any], board: Board) -> str:
    """The card for people."""
    gain = 1 - card["bits_per_byte"] / card["baseline_bits_per_byte"]
    verdict = f"{abs(gain):.1%} {'below' if gain > 0 else 'above'} the baseline of {card['baseline_bits_per_byte']:.3f}"
    known = card["floor_bits_per_byte"]
    floor = "" if known is None else f"; the entropy floor is {known:.4f}"
    return f"""# {card["entrant"]}: {card["bits_per_byte"]:.4f} bits per byte

Board `{board.name}`: {board.about}.

| | |
| --- | --- |
| held-out loss | {card["bits_per_byte"]:.4f} bits per byte, {card["nats_per_token"]:.4f} nats per token |
| | {verdict}{floor} |
| fresh text | {card["fresh_bits_per_byte"]:.4f} bits per byte |
| budget | {card["train_flops"]:.3e} training FLOPs, {card["budget_fraction"]:.0%} of the board's |
| trained on | {card["train_tokens"]:,} tokens |
| parameters | {card["parameters"]:,} |
| checkpoint | `{card["checkpoint"][:12]}`, by `IMPL={card["impl"]}` |

Check it: `python -m a1_basics.run.leaderboard_check --cards CARD`; with `--again` the training is repeated.
"""


if __name__ == "__main__":
    sys.exit(run_program(main, LEADERBOARD_CARD, inputs=INPUTS, outputs=OUTPUTS))
