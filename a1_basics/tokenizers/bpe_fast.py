"""Byte-pair encoding, fast: the same merges and the same ids as `bpe.py`, by better bookkeeping.

Training touches only what a merge changes.

- Equal pre-tokens are counted once, in worker processes over chunks of the file. Only the counts are kept, so
  memory follows the number of different words and not the size of the corpus.
- All different words lie end to end in flat arrays. A position holds a symbol, or `_GLUED` once it has been
  merged into its left neighbour; `following` and `preceding` skip such positions.
- `places[pair]` lists the positions where a pair begins. Every place of a pair comes to be in one step, the
  one that makes the younger of its two symbols; later steps only destroy places. So the lists are never
  searched or mended: a place that no longer holds its pair is skipped when its turn comes.
- For the same reason a count can only fall after that step, and the heap may be lazy: an entry that is too
  high when it comes up goes back with its true count.

Encoding looks pre-tokens up in a bounded cache, and merges the others in n log n.
"""

import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import (
    SpecialTokens,
    corpus_bytes,
    count_pretokens,
    file_chunks,
    pretokens,
    read_text,
)
from shared.runs.parallel import available_cores, map_in_order

_CHUNK_BYTES = 1 << 22
_GLUED = -1
_CACHED_WORDS = 1 << 18
_CACHED_WORD_CHARS = 64
_SHORT_WORD_BYTES = 128
_NEVER = 1 << 62
_COMPLEMENT = bytes(255 - byte for byte in range(256))


def train_bpe(
    input_path: str | os.PathLike[str],
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    num_workers: int | None = None,
) -> tuple[bpe.Vocab, bpe.Merges]:
    """Learn the vocabulary and merges that `bpe.train_bpe` learns.

    `num_workers` processes count pre-tokens; None is one for each core, and none for a file of one chunk.

    Raises:
        ConfigError: `vocab_size` is below 256 plus the special tokens.
        DataError: the file is missing, empty or not UTF-8.
    """
    special = SpecialTokens(special_tokens)
    vocab = bpe.initial_vocab(vocab_size, special)
    first_merge_id = len(vocab)
    words = _count_file(input_path, special, num_workers)
    tokens = [vocab[i] if i < 256 else b"" for i in range(first_merge_id)]
    pairs = _learn_merges(words, tokens, vocab_size - first_merge_id)
    merges = [(tokens[left], tokens[right]) for left, right in pairs]
    vocab.update(enumerate(tokens[first_merge_id:], first_merge_id))
    return vocab, merges


def _count_file(
    path: str | os.PathLike[str], special: SpecialTokens, num_workers: int | None
) -> Counter[str]:
    """How often each pre-token occurs in a file."""
    num_workers = min(num_workers or available_cores(), -(-corpus_bytes(path) // _CHUNK_BYTES))
    chunks = (
        (os.fspath(path), start, end, special) for start, end in file_chunks(path, _CHUNK_BYTES, special)
    )
    total: Counter[str] = Counter()
    for counts in map_in_order(_count_chunk, chunks, num_workers):
        total.update(counts)
    return total


def _count_chunk(chunk: tuple[str, int, int, SpecialTokens]) -> Counter[str]:
    path, start, end, special = chunk
    return count_pretokens(read_text(path, start, end), special)


def _learn_merges(words: dict[str, int], tokens: list[bytes], num_merges: int) -> list[tuple[int, int]]:
    """Learn up to `num_merges` merges as pairs of ids; the new tokens are appended to `tokens`."""
    symbols, following, preceding, weights = _flat_words(words)
    counts: defaultdict[tuple[int, int], int] = defaultdict(int)
    places: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for place, after in enumerate(following):
        if after != _GLUED:
            pair = symbols[place], symbols[after]
            counts[pair] += weights[place]
            places[pair].append(place)
    keys = [_falling_key(token) for token in tokens]
    heap = [(-count, keys[left] + keys[right], (left, right)) for (left, right), count in counts.items()]
    heapq.heapify(heap)
    merges: list[tuple[int, int]] = []
    while heap and len(merges) < num_merges:
        count, key, pair = heapq.heappop(heap)
        if counts[pair] != -count:
            if counts[pair]:
                heapq.heappush(heap, (-counts[pair], key, pair))
            continue
        left, right = pair
        new = len(tokens)
        merges.append(pair)
        tokens.append(tokens[left] + tokens[right])
        keys.append(_falling_key(tokens[new]))
        born: set[tuple[int, int]] = set()
        for place in places.pop(pair):  # from the left: in "aaa" the first two glue
            after = following[place]
            if symbols[place] != left or after == _GLUED or symbols[after] != right:
                continue
            weight = weights[place]
            beyond, before = following[after], preceding[place]
            if before != _GLUED:
                neighbour = symbols[before]
                counts[neighbour, left] -= weight
                fresh = neighbour, new
                counts[fresh] += weight
                places[fresh].append(before)
                born.add(fresh)
            if beyond != _GLUED:
                neighbour = symbols[beyond]
                counts[right, neighbour] -= weight
                fresh = new, neighbour
                counts[fresh] += weight
                places[fresh].append(place)
                born.add(fresh)
                preceding[beyond] = place
            symbols[place] = new
            symbols[after] = _GLUED
            following[place] = beyond
        counts[pair] = 0
        for left, right in born:
            if counts[left, right]:
                heapq.heappush(heap, (-counts[left, right], keys[left] + keys[right], (left, right)))
    return merges


def _flat_words(words: dict[str, int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """All words end to end: bytes, neighbours (`_GLUED` at a word's ends), count of the word."""
    encoded = [word.encode("utf-8") for word in words]
    symbols = list(b"".join(encoded))
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    ends = np.cumsum(lengths)
    following = np.arange(1, len(symbols) + 1)
    following[ends - 1] = _GLUED
    preceding = np.arange(-1, len(symbols) - 1)
    preceding[ends - lengths] = _GLUED
    weights = np.repeat(np.fromiter(words.values(), dtype=np.int64, count=len(words)), lengths)
    return symbols, following.tolist(), preceding.tolist(), weights.tolist()


def _falling_key(token: bytes) -> str:
    """A key that sorts the greatest token first; keys put end to end sort pairs in the same way.

    Every byte is complemented, and U+0100, which is above them all, closes the key: so "ab" comes before "a".
    """
    return token.translate(_COMPLEMENT).decode("latin-1") + "\u0100"


class Tokenizer(bpe.Tokenizer):
    """`bpe.Tokenizer` with a cache of pre-tokens, and merging whose time is n log n in a pre-token's length.

    Merges must be in an order in which training could have made them: each after those that made its parts.
    """

    def __init__(
        self, vocab: bpe.Vocab, merges: Iterable[bpe.Pair], special_tokens: Sequence[str] | None = None
    ):
        super().__init__(vocab, merges, special_tokens)
        ids = self._ids
        self._byte_ids = [ids.get(bytes([byte])) for byte in range(256)]
        # Pairs of ids to rank, and rank to the id that it makes.
        self._pair_ranks = {(ids[left], ids[right]): rank for (left, right), rank in self._ranks.items()}
        self._made = [ids[left + right] for left, right in self.merges]
        self._cache = _WordCache(self)

    def _encode_plain(self, text: str) -> list[int]:
        return list(chain.from_iterable(map(self._cache.__getitem__, pretokens(text))))

    def _encode_word(self, word: bytes) -> list[int]:
        symbols: list[Any] = [self._byte_ids[byte] for byte in word]
        if None in symbols:
            missing = word[symbols.index(None)]
            raise bpe.unknown_byte(word, KeyError(bytes([missing])))
        return self._merge_short(symbols) if len(symbols) <= _SHORT_WORD_BYTES else self._merge_long(symbols)

    def _merge_short(self, symbols: list[int]) -> list[int]:
        """Merge the lowest rank until none is left: quadratic, but each scan is one call of `min`."""
        rank_of = self._pair_ranks.get
        ranks = [rank_of(pair, _NEVER) for pair in pairwise(symbols)]
        while ranks:
            lowest = min(ranks)
            if lowest == _NEVER:
                break
            at = ranks.index(lowest)
            new = self._made[lowest]
            symbols[at : at + 2] = [new]
            del ranks[at]
            if at:
                ranks[at - 1] = rank_of((symbols[at - 1], new), _NEVER)
            if at < len(ranks):
                ranks[at] = rank_of((new, symbols[at + 1]), _NEVER)
        return symbols

    def _merge_long(self, symbols: list[int]) -> list[int]:
        """Merge rank by rank, all places of a rank in one sweep.

        A merge only makes pairs of higher rank than its own, so each place waits in the list of its rank, and
        a heap of the ranks says which list is next.
        """
        rank_of, size = self._pair_ranks.get, len(symbols)
        following, preceding = list(range(1, size + 1)), list(range(-1, size - 1))
        waiting: dict[int, list[int]] = {}
        for place, pair in enumerate(pairwise(symbols)):
            rank = rank_of(pair)
            if rank is not None:
                waiting.setdefault(rank, []).append(place)
        queue = list(waiting)
        heapq.heapify(queue)
        while queue:
            rank = heapq.heappop(queue)
            new = self._made[rank]
            for place in sorted(waiting.pop(rank)):
                after = following[place]
                # A glued place has no rank with anything, and neither has the last one.
                if after >= size or rank_of((symbols[place], symbols[after])) != rank:
                    continue
                beyond, before = following[after], preceding[place]
                symbols[place], symbols[after] = new, _GLUED
                following[place] = beyond
                fresh = []
                if beyond < size:
                    preceding[beyond] = place
                    fresh.append((rank_of((new, symbols[beyond])), place))
                if before >= 0:
                    fresh.append((rank_of((symbols[before], new)), before))
                for next_rank, where in fresh:
                    if next_rank is not None:
                        if next_rank not in waiting:
                            waiting[next_rank] = []
                            heapq.heappush(queue, next_rank)
                        waiting[next_rank].append(where)
        return [symbol for symbol in symbols if symbol != _GLUED]


class _WordCache(dict[str, list[int]]):
    """Pre-token to ids, filled on demand; emptied when full, so that a long stream cannot fill the memory."""

    def __init__(self, tokenizer: Tokenizer):
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, word: str) -> list[int]:
        ids = self._tokenizer._encode_word(word.encode("utf-8"))
        if len(word) <= _CACHED_WORD_CHARS:
            if len(self) >= _CACHED_WORDS:
                self.clear()
            self[word] = ids
        return ids
