"""Keeps a momentum of its own."""

REJECTED_BY = "test_steps_are_apart"
BASE = "rungs_plain"
CHANGES = (
    (
        "def run_muon_step(weights, gradients, momentum, lr, beta, weight_decay):\n",
        (
            "kept = {}\n"
            "\n"
            "\n"
            "def run_muon_step(weights, gradients, momentum, lr, beta, weight_decay):\n"
            "    momentum = kept.get(weights.shape, momentum)\n"
        ),
    ),
    (
        "ahead = beta * momentum + (1 - beta) * gradients",
        ("kept[weights.shape] = momentum\n    ahead = beta * momentum + (1 - beta) * gradients"),
    ),
)
