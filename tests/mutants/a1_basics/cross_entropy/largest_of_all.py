"""Shifts by the largest logit of the whole batch: rows far below give ln 0."""

REJECTED_BY = "test_a_shift_of_a_row_changes_nothing"


def run_cross_entropy(inputs, targets):
    x = inputs - inputs.max()
    return (x.exp().sum(-1).log() - x.gather(-1, targets[..., None])[..., 0]).mean()
