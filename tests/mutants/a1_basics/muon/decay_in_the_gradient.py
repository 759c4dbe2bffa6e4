"""Decay goes through the momentum, and its size falls out."""

REJECTED_BY = "test_without_a_gradient_only_decay_is_left"
BASE = "rungs_plain"
CHANGES = (
    (
        "def run_muon_step(weights, gradients, momentum, lr, beta, weight_decay):\n",
        (
            "def run_muon_step(weights, gradients, momentum, lr, beta, weight_decay):\n"
            "    gradients = gradients + weight_decay * weights\n"
        ),
    ),
    ("return (1 - lr * weight_decay) * weights - lr", "return weights - lr"),
)
