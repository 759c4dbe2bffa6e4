"""Softmax on a copy with dim in front, shifted and exponentiated in place; the caller's tensor stays as it is."""

SOLVES = ("softmax",)


def run_softmax(in_features, dim):
    x = in_features.movedim(dim, 0).clone()
    x.sub_(x.detach().amax(0)).exp_()
    return (x * x.sum(0).reciprocal()).movedim(0, dim)
