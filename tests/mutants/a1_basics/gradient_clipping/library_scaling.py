"""Takes the norm and the scaling from torch by their inner names."""

from torch.nn.utils import clip_grads_with_norm_, get_total_norm

REJECTED_BY = "forbidden"


def run_gradient_clipping(parameters, max_l2_norm):
    parameters = [p for p in parameters if p.grad is not None]
    total = get_total_norm([p.grad for p in parameters])
    clip_grads_with_norm_(parameters, max_l2_norm, total)
