"""Subtracts in place: the caller's scores are shifted too."""

REJECTED_BY = "test_argument_is_left_alone"


def run_softmax(in_features, dim):
    if not in_features.requires_grad:
        in_features -= in_features.amax(dim, keepdim=True)
    powers = (in_features - in_features.amax(dim, keepdim=True)).exp()
    return powers / powers.sum(dim, keepdim=True)
