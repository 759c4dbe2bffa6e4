"""Which keys a query may see, asked tile by tile: no mask of q_len x k_len ever exists.

A tile of keys that no query of the tile may see is never computed, one that all may see is computed without a mask, and
only those between (the diagonal of a causal model, the border of a document) get a mask of their own size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def tiles(length: int, size: int) -> list[slice]:
    """The pieces of `length` positions, the last one as long as it comes.

    >>> tiles(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


@dataclass(frozen=True)
class Visibility:
    """Queries are the last `q_len` of `k_len` positions; with documents, each sees its own one only."""

    q_len: int
    k_len: int
    is_causal: bool = False
    documents: Int[Tensor, "batch k_len"] | None = None  # the document of each position of each sequence

    def key_tiles(self, rows: slice, size: int) -> Iterator[tuple[slice, Bool[Tensor, "..."] | None]]:
        """The tiles of keys that some query of `rows` may see, in order, each with its mask, None for no mask."""
        ahead = self.k_len - self.q_len  # keys that stand before the first query
        visible_keys = min(self.k_len, max(0, rows.stop + ahead)) if self.is_causal else self.k_len
        for columns in tiles(visible_keys, size):
            mask = None
            if self.is_causal and columns.stop - 1 > rows.start + ahead:
                mask = self._causal_mask(rows, columns)
            if self.documents is not None:
                q_documents = self.documents[:, rows.start + ahead : rows.stop + ahead]
                k_documents = self.documents[:, columns]
                if _are_apart(q_documents, k_documents):
                    continue
                if not _are_one(q_documents, k_documents):
                    same = q_documents[:, :, None] == k_documents[:, None, :]
                    mask = same if mask is None else same & mask
            yield columns, mask

    def _causal_mask(self, rows: slice, columns: slice) -> Bool[Tensor, "q_len k_len"]:
        q_positions = torch.arange(rows.start, rows.stop) + (self.k_len - self.q_len)
        return q_positions[:, None] >= torch.arange(columns.start, columns.stop)[None, :]


def _are_apart(q_documents: Int[Tensor, "batch q_len"], k_documents: Int[Tensor, "batch k_len"]) -> bool:
    """Whether no query of any sequence can share a document with a key: their ranges of numbers do not touch.

    Exact where numbers grow along a sequence, as in packed batches; where not, the mask decides.
    """
    is_below = q_documents.amax(dim=1) < k_documents.amin(dim=1)
    is_above = q_documents.amin(dim=1) > k_documents.amax(dim=1)
    return bool((is_below | is_above).all())


def _are_one(q_documents: Int[Tensor, "batch q_len"], k_documents: Int[Tensor, "batch k_len"]) -> bool:
    """Whether in each sequence all of them belong to the same document."""
    both = torch.cat((q_documents, k_documents), dim=1)
    return bool((both == both[:, :1]).all())
