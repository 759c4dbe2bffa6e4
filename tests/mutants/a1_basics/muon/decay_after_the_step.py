"""What the step added shrinks too."""

REJECTED_BY = "test_decay_does_not_change_the_direction"
BASE = "rungs_plain"
CHANGES = (
    (
        "return (1 - lr * weight_decay) * weights - lr * size * run_newton_schulz(ahead), momentum",
        (
            "moved = weights - lr * size * run_newton_schulz(ahead)\n"
            "    return (1 - lr * weight_decay) * moved, momentum"
        ),
    ),
)
