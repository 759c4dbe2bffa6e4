"""Takes exponentials of the logits as they are."""

REJECTED_BY = "test_a_shift_of_a_row_changes_nothing"


def run_cross_entropy(inputs, targets):
    target = inputs.gather(-1, targets[..., None])[..., 0]
    return (inputs.exp().sum(-1).log() - target).mean()
