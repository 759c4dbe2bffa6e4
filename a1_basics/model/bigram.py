"""The counted bigram model: the simplest language model that knows anything of context, in closed form.

It is the line that a transformer must fall below. Its logits are log-probabilities, so it is evaluated, sampled and
compared exactly as any other model here.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shared.doors.protocols import Attend


class Bigram(nn.Module):
    """Next-token probabilities that depend on the last token alone.

    Counts are smoothed towards the unigram distribution, which is itself smoothed towards uniform: a pair never seen
    is then as likely as its second token is rare, and no token is impossible.

    Source: [mackay-1995] equation 11 (hierarchical Dirichlet prior); its strength is fixed instead of inferred.
    """

    log_probabilities: Tensor

    def __init__(self, log_probabilities: Float[Tensor, "vocab vocab"]) -> None:
        super().__init__()
        self.register_buffer("log_probabilities", log_probabilities)

    @classmethod
    def from_counts(
        cls, tokens: np.ndarray, vocab_size: int, prior_strength: float = 5.0, chunk_tokens: int = 1 << 22
    ) -> "Bigram":
        """Count the pairs of a token array, memory-mapped or not, a chunk at a time.

        Raises:
            ValueError: fewer than two tokens.
        """
        if len(tokens) < 2:
            raise ValueError(f"{len(tokens)} tokens hold no pair to count")
        pairs = np.zeros(vocab_size * vocab_size, dtype=np.int64)
        for start in range(0, len(tokens) - 1, chunk_tokens):
            piece = np.asarray(tokens[start : start + chunk_tokens + 1]).astype(np.int64)
            flat, counts = np.unique(piece[:-1] * vocab_size + piece[1:], return_counts=True)
            pairs[flat] += counts
        table = torch.from_numpy(pairs).view(vocab_size, vocab_size).double()
        unigram = table.sum(dim=0) + 1 / vocab_size
        unigram /= unigram.sum()
        smoothed = table + prior_strength * unigram
        return cls((smoothed / smoothed.sum(dim=1, keepdim=True)).log().float())

    def forward(
        self,
        token_ids: Int[Tensor, "batch seq"],
        positions: Int[Tensor, "batch seq"] | None = None,
        attend: Attend | None = None,
    ) -> Float[Tensor, "batch seq vocab"]:
        return self.log_probabilities[token_ids]
