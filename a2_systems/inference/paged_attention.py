"""Attention over keys and values that lie in pages, for many sequences of different lengths in one pass.

The tokens of all sequences that take part in a step stand behind one another in one row, each with its position. Keys
and values go to the pages that the sequences' block tables name; then every query reads those of its own sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from a2_systems.kernels.attend import sdpa_attention
from shared.doors.protocols import ModelConfig


@dataclass(frozen=True)
class Chunk:
    """Tokens of one sequence that are read in this step: positions `start` ... `start + num_tokens - 1`."""

    pages: Sequence[int]
    start: int
    num_tokens: int

    @property
    def end(self) -> int:
        return self.start + self.num_tokens


class PagedCache:
    """The pages themselves, for all layers: (layer, page, head, token in page, number)."""

    def __init__(
        self,
        config: ModelConfig,
        num_pages: int,
        page_size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> None:
        kv_heads = config.num_kv_heads or config.num_heads
        shape = (config.num_layers, num_pages, kv_heads, page_size, config.width_per_head)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.page_size = page_size

    def copy_page(self, old: int, new: int) -> None:
        """Give a page the content of another."""
        self.keys[:, new] = self.keys[:, old]
        self.values[:, new] = self.values[:, old]


def page_bytes(config: ModelConfig, page_size: int, bytes_per_number: int = 4) -> int:
    """Keys and values of a page's tokens in all layers.

    >>> shape = ModelConfig(256, context_length=64, d_model=64, num_layers=2, num_heads=4, d_ff=128, num_kv_heads=2)
    >>> page_bytes(shape, page_size=16)  # 2 x 2 layers x 2 heads x 16 tokens x 16 numbers x 4 bytes
    8192
    """
    kv_heads = config.num_kv_heads or config.num_heads
    return 2 * config.num_layers * kv_heads * page_size * config.width_per_head * bytes_per_number


class PagedAttention:
    """An `attend` for one step: where each new token's keys and values go, and which pages its query reads."""

    def __init__(self, cache: PagedCache, chunks: Sequence[Chunk]) -> None:
        self._cache, self._chunks = cache, chunks
        device, size = cache.keys.device, cache.page_size
        positions = [position for chunk in chunks for position in range(chunk.start, chunk.end)]
        pages = [chunk.pages[at // size] for chunk in chunks for at in range(chunk.start, chunk.end)]
        self.positions: Int[Tensor, "1 tokens"] = torch.tensor([positions], device=device)
        self._pages = torch.tensor(pages, device=device)
        self._offsets = self.positions[0] % size

    def __call__(
        self,
        layer: int,
        queries: Float[Tensor, "1 heads tokens head_dim"],
        keys: Float[Tensor, "1 kv_heads tokens head_dim"],
        values: Float[Tensor, "1 kv_heads tokens head_dim"],
    ) -> Float[Tensor, "1 heads tokens head_dim"]:
        """Keep what is new, then attend, sequence by sequence: the clear version."""
        self._write(layer, keys, values)
        results, first = [], 0
        for chunk in self._chunks:
            mine = queries[:, :, first : first + chunk.num_tokens]
            results.append(sdpa_attention(layer, mine, *self._read(layer, chunk)))
            first += chunk.num_tokens
        return torch.cat(results, dim=2)

    def _write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        self._cache.keys[layer][self._pages, :, self._offsets] = keys[0].transpose(0, 1)
        self._cache.values[layer][self._pages, :, self._offsets] = values[0].transpose(0, 1)

    def _read(self, layer: int, chunk: Chunk) -> list[Float[Tensor, "1 kv_heads k_len head_dim"]]:
        """A sequence's keys and values in the order of positions."""
        pages = list(chunk.pages[: -(-chunk.end // self._cache.page_size)])
        kept = (self._cache.keys[layer][pages], self._cache.values[layer][pages])
        return [each.transpose(0, 1).flatten(1, 2)[None, :, : chunk.end] for each in kept]


class BatchedPagedAttention(PagedAttention):
    """The same, all sequences that read a single token in one call: short ones are filled up and masked."""

    def __init__(self, cache: PagedCache, chunks: Sequence[Chunk]) -> None:
        super().__init__(cache, chunks)
        starts = [0]
        for chunk in chunks:
            starts.append(starts[-1] + chunk.num_tokens)
        self._long = [(chunk, at) for chunk, at in zip(chunks, starts, strict=False) if chunk.num_tokens > 1]
        single = [(chunk, at) for chunk, at in zip(chunks, starts, strict=False) if chunk.num_tokens == 1]
        self._rows = torch.tensor([at for _, at in single], dtype=torch.long)
        if single:
            needed = [-(-chunk.end // cache.page_size) for chunk, _ in single]
            table = torch.zeros(len(single), max(needed), dtype=torch.long)
            for row, ((chunk, _), count) in enumerate(zip(single, needed, strict=True)):
                table[row, :count] = torch.tensor(chunk.pages[:count])
            self._table = table
            ends = torch.tensor([chunk.end for chunk, _ in single])
            self._is_read = (torch.arange(max(needed) * cache.page_size) < ends[:, None])[:, None, None]

    def __call__(
        self,
        layer: int,
        queries: Float[Tensor, "1 heads tokens head_dim"],
        keys: Float[Tensor, "1 kv_heads tokens head_dim"],
        values: Float[Tensor, "1 kv_heads tokens head_dim"],
    ) -> Float[Tensor, "1 heads tokens head_dim"]:
        """Keep what is new, then attend."""
        self._write(layer, keys, values)
        result = torch.empty_like(queries)
        for chunk, at in self._long:
            rows = slice(at, at + chunk.num_tokens)
            result[:, :, rows] = sdpa_attention(layer, queries[:, :, rows], *self._read(layer, chunk))
        if len(self._rows):
            single = queries[0, :, self._rows].transpose(0, 1)[:, :, None]  # sequence, head, 1, number
            keys, values = (
                kept[layer][self._table].transpose(1, 2).flatten(2, 3)
                for kept in (self._cache.keys, self._cache.values)
            )
            read = F.scaled_dot_product_attention(
                single, keys, values, attn_mask=self._is_read, enable_gqa=single.shape[1] != keys.shape[1]
            )
            result[0, :, self._rows] = read[:, :, 0].transpose(0, 1)
        return result
