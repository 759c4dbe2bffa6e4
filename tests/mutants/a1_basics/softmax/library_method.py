"""Calls the tensor's own softmax, the same function under another name."""

REJECTED_BY = "forbidden"


def run_softmax(in_features, dim):
    return in_features.softmax(dim)
