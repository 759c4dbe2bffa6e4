"""Takes the library's log_softmax, which is all the work."""

REJECTED_BY = "forbidden"


def run_cross_entropy(inputs, targets):
    return -inputs.log_softmax(-1).gather(-1, targets[..., None]).mean()
