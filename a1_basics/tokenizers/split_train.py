"""Learn byte-pair merges from words that were counted: whatever pattern, or rule of one's own, has cut them.

`bpe.py` counts all pairs anew for every merge and is bound to GPT-2's pattern. Here a merge touches only what it
changes, and the words come from outside, so that rules for cutting can be compared (`run.tokenizer_sweep`).

- All words lie end to end in flat lists. A place holds a symbol, or `_GLUED` once it has been merged into its left
  neighbour; `following` and `preceding` skip such places.
- `places[pair]` lists where a pair begins. Every place of a pair comes to be in one step, the one that makes the
  younger of its two symbols; later steps only destroy places. A place that no longer holds its pair is skipped.
- For the same reason a count can only fall after that step, and the heap may be lazy: an entry that is too high when it
  comes up goes back with its true count.
"""

import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import regex

from a1_basics.tokenizers.bpe import Merges, Vocab, initial_vocab
from a1_basics.tokenizers.pretokenize import SpecialTokens, corpus_bytes, stream_pieces
from a1_basics.tokenizers.split_bpe import plain_cut
from shared.store.kinds.split_patterns import SPLIT_PATTERNS

Pair = tuple[bytes, bytes]
_BLOCK_CHARS = 1 << 20
_GLUED = -1
_NEVER = 1 << 62
_COMPLEMENT = bytes(255 - byte for byte in range(256))


def train_split_bpe(
    input_path: str | os.PathLike[str], vocab_size: int, special_tokens: Sequence[str], pattern: str
) -> tuple[Vocab, Merges]:
    """Learn at most `vocab_size` tokens from a text file that the named pattern cuts; `bpe.train_bpe` for any pattern.

    Memory grows with the different pre-tokens, not with the file.

    Raises:
        ConfigError: `vocab_size` is below 256 plus the special tokens.
        DataError: the file is missing or empty.
        KeyError: no pattern of this name.
    """
    special = SpecialTokens(special_tokens)
    vocab = initial_vocab(vocab_size, special)
    corpus_bytes(input_path)
    pieces = stream_pieces(_blocks(input_path), special, plain_cut)
    words = count_words((text for text, is_special in pieces if not is_special), SPLIT_PATTERNS[pattern])
    merges = learn_merges(words, vocab_size - len(vocab))
    return vocab | {len(vocab) + index: a + b for index, (a, b) in enumerate(merges)}, merges


def _blocks(path: str | os.PathLike[str]) -> Iterator[str]:
    with open(path, encoding="utf-8", newline="") as file:
        while block := file.read(_BLOCK_CHARS):
            yield block


def count_words(texts: Iterable[str], pattern: str) -> Counter[bytes]:
    """How often each pre-token occurs when a regular expression cuts the texts."""
    cut = regex.compile(pattern).findall
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(cut(text))
    return Counter({word.encode("utf-8"): count for word, count in counts.items()})


def learn_merges(words: Mapping[bytes, int], num_merges: int) -> list[Pair]:
    """The first `num_merges` merges, in order: always the most frequent pair, of equal ones the greatest as bytes."""
    symbols, following, preceding, weights = _end_to_end(words)
    tokens = [bytes([byte]) for byte in range(256)]
    counts: defaultdict[tuple[int, int], int] = defaultdict(int)
    places: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for place, after in enumerate(following):
        if after != _GLUED:
            counts[symbols[place], symbols[after]] += weights[place]
            places[symbols[place], symbols[after]].append(place)
    keys = [_falling_key(token) for token in tokens]
    heap = [(-count, keys[a] + keys[b], (a, b)) for (a, b), count in counts.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    while heap and len(merges) < num_merges:
        count, key, pair = heapq.heappop(heap)
        if counts[pair] != -count:
            if counts[pair]:
                heapq.heappush(heap, (-counts[pair], key, pair))
            continue
        left, right = pair
        new = len(tokens)
        merges.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])
        keys.append(_falling_key(tokens[new]))
        born: set[tuple[int, int]] = set()
        for place in places.pop(pair):  # from the left: in "aaa" the first two glue
            after = following[place]
            if symbols[place] != left or after == _GLUED or symbols[after] != right:
                continue
            weight, before, beyond = weights[place], preceding[place], following[after]
            if before != _GLUED:
                counts[symbols[before], left] -= weight
                born.add(fresh := (symbols[before], new))
                counts[fresh] += weight
                places[fresh].append(before)
            if beyond != _GLUED:
                counts[right, symbols[beyond]] -= weight
                born.add(fresh := (new, symbols[beyond]))
                counts[fresh] += weight
                places[fresh].append(place)
                preceding[beyond] = place
            symbols[place], symbols[after], following[place] = new, _GLUED, beyond
        counts[pair] = 0
        for a, b in born:
            if counts[a, b]:
                heapq.heappush(heap, (-counts[a, b], keys[a] + keys[b], (a, b)))
    return merges


def _end_to_end(words: Mapping[bytes, int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Bytes of all words, the neighbours of each (`_GLUED` at a word's ends), and the count of its word."""
    symbols: list[int] = []
    following: list[int] = []
    preceding: list[int] = []
    weights: list[int] = []
    for word, count in words.items():
        start, end = len(symbols), len(symbols) + len(word)
        symbols += word
        following += [*range(start + 1, end), _GLUED]
        preceding += [_GLUED, *range(start, end - 1)]
        weights += [count] * len(word)
    return symbols, following, preceding, weights


def _falling_key(token: bytes) -> str:
    """A key that sorts the greatest token first; keys put end to end sort pairs in the same way.

    Every byte is complemented, and U+0100, which is above them all, closes the key: so "ab" comes before "a".
    """
    return token.translate(_COMPLEMENT).decode("latin-1") + "\u0100"


def replay(word: bytes, ranks: Mapping[Pair, int]) -> tuple[list[int], list[bytes]]:
    """The ranks of the merges that encoding a word applies, and the tokens it ends with.

    A vocabulary of only the first k merges applies those of rank below k and no others: one replay tells the number
    of tokens at every size, `len(word) - sum(rank < k)`.
    """
    symbols, applied = [bytes([byte]) for byte in word], list[int]()
    while len(symbols) > 1:
        found = [ranks.get(pair, _NEVER) for pair in pairwise(symbols)]
        lowest = min(found)
        if lowest == _NEVER:
            break
        at = found.index(lowest)
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        applied.append(lowest)
    return applied, symbols
