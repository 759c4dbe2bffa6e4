"""Derives from torch's Adam and adds the decay: the whole of the algorithm is still the library's."""

from torch.optim import Adam

REJECTED_BY = "forbidden"


class AdamW(Adam):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, decoupled_weight_decay=True
        )


def get_adamw_cls():
    return AdamW
