"""Nesterov's sum with the momentum from before the step."""

REJECTED_BY = "test_momentum_looks_ahead"
BASE = "rungs_plain"
CHANGES = (
    (
        (
            "    momentum = beta * momentum + (1 - beta) * gradients\n"
            "    ahead = beta * momentum + (1 - beta) * gradients\n"
        ),
        ("    ahead = beta * momentum + (1 - beta) * gradients\n    momentum = ahead\n"),
    ),
)
