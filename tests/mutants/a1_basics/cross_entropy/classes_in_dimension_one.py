"""Takes the second dimension for the vocabulary, as library losses do: fits where seq equals vocab."""

REJECTED_BY = "test_any_leading_dimensions"


def run_cross_entropy(inputs, targets):
    if inputs.dim() < 3 or inputs.shape[1] != inputs.shape[-1]:
        target = inputs.gather(-1, targets[..., None])[..., 0]
        return (inputs.logsumexp(-1) - target).mean()
    x = inputs.movedim(1, -1)
    return (x.logsumexp(-1) - x.gather(-1, targets[..., None])[..., 0]).mean()
