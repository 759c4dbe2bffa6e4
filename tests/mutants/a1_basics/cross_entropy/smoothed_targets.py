"""Gives a tenth of each target's weight to all tokens: another loss, not comparable."""

REJECTED_BY = "test_a_sure_and_right_prediction_costs_little"


def run_cross_entropy(inputs, targets):
    target = inputs.gather(-1, targets[..., None])[..., 0]
    total = inputs.logsumexp(-1)
    return (0.9 * (total - target) + 0.1 * (total - inputs.mean(-1))).mean()
