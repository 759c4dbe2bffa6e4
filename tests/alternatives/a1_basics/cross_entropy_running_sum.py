"""Cross-entropy from a running log-sum-exp over the vocabulary, in float64, classes in front."""

import torch

SOLVES = ("cross_entropy",)


def run_cross_entropy(inputs, targets):
    classes_first = inputs.double().movedim(-1, 0).contiguous()
    log_total = torch.logcumsumexp(classes_first, dim=0)[-1]
    of_target = classes_first.gather(0, targets.unsqueeze(0).long()).squeeze(0)
    return (log_total - of_target).mean().to(inputs.dtype)
