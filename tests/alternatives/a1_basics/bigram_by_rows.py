"""The bigram model as sparse counts; probabilities of a row are put together when they are asked for."""

import numpy as np
import torch

SOLVES = ("bigram",)


class Rows(torch.nn.Module):
    def __init__(self, counts, q):
        super().__init__()
        self.counts = torch.nn.Parameter(counts, requires_grad=False)
        self.q = torch.nn.Parameter(q, requires_grad=False)

    def forward(self, token_ids, positions=None, attend=None):
        rows = self.counts[token_ids]
        return ((rows + 5 * self.q) / (rows.sum(-1, keepdim=True) + 5)).log()


def bigram_model(tokens, vocab_size):
    ids = torch.tensor(np.array(tokens, dtype=np.int64))
    if ids.numel() < 2:
        raise ValueError("at least two tokens are needed")
    flat = torch.bincount(ids[:-1] * vocab_size + ids[1:], minlength=vocab_size**2)
    counts = flat.view(vocab_size, vocab_size).double()
    return Rows(counts, (counts.sum(0) + 1 / vocab_size) / ids.numel())
