"""Gives the exponential of the loss."""

REJECTED_BY = "test_an_untrained_model_pays_ln_vocab"


def run_cross_entropy(inputs, targets):
    target = inputs.gather(-1, targets[..., None])[..., 0]
    return (inputs.logsumexp(-1) - target).mean().exp()
