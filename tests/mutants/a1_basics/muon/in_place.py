"""Changes the momentum that was given."""

REJECTED_BY = "test_arguments_are_left_alone"
BASE = "rungs_plain"
CHANGES = (
    (
        "    momentum = beta * momentum + (1 - beta) * gradients\n",
        "    momentum.mul_(beta).add_(gradients, alpha=1 - beta)\n",
    ),
)
