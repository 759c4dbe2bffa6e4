"""Byte-pair encoding over linked nodes and a heap of pairs, for training and for encoding; one decoder object."""

import codecs
import heapq
from collections import Counter, defaultdict
from pathlib import Path

import regex

SOLVES = ("train_bpe", "tokenizer")

PATTERN = regex.compile(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s")


class Node:
    __slots__ = ("after", "before", "count", "token")

    def __init__(self, token, count, before):
        self.token, self.count, self.before, self.after = token, count, before, None
        if before is not None:
            before.after = self


class Greatest:
    """Turns a heap of smallest into one of greatest."""

    __slots__ = ("key",)

    def __init__(self, key):
        self.key = key

    def __lt__(self, other):
        return self.key > other.key


def cut(text, special_tokens):
    """Text and special tokens in turn, by searching for the next special token of all."""
    while text:
        found = [(text.find(token), -len(token), token) for token in special_tokens if token in text]
        at, _, token = min(found, default=(len(text), 0, ""))
        if at:
            yield text[:at], False
        if token:
            yield token, True
        text = text[at + len(token) :]


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    special = [token.encode() for token in special_tokens]
    vocab = dict(enumerate([bytes([b]) for b in range(256)] + special))
    if len(vocab) > vocab_size:
        raise ValueError("no room for bytes and special tokens")
    counted = Counter()
    with Path(input_path).open(encoding="utf-8", newline="") as file:
        for part, is_special in cut(file.read(), special_tokens):
            if not is_special:
                counted.update(match.group() for match in PATTERN.finditer(part))
    counts, starts = Counter(), defaultdict(list)
    for word, count in counted.items():
        node = None
        for byte in word.encode():
            node = Node(bytes([byte]), count, node)
            if node.before is not None:
                counts[node.before.token, node.token] += count
                starts[node.before.token, node.token].append(node.before)
    heap = [Greatest((count, pair)) for pair, count in counts.items()]
    heapq.heapify(heap)
    merges = []
    while heap and len(vocab) < vocab_size:
        count, pair = heapq.heappop(heap).key
        if counts[pair] != count or not count:
            continue
        changed = set()
        for node in starts.pop(pair):
            gone = node.after
            if node.token != pair[0] or gone is None or gone.token != pair[1]:
                continue
            for neighbour, old, new in (
                (node.before, lambda n, t: (n.token, t), 0),
                (gone.after, lambda n, t: (t, n.token), 1),
            ):
                if neighbour is not None:
                    counts[old(neighbour, pair[new])] -= node.count
                    changed.add(old(neighbour, pair[new]))
            node.token, gone.token = pair[0] + pair[1], None
            node.after = gone.after
            if node.after is not None:
                node.after.before = node
            for first in (node.before, node):
                if first is not None and first.after is not None:
                    fresh = first.token, first.after.token
                    counts[fresh] += node.count
                    starts[fresh].append(first)
                    changed.add(fresh)
        counts[pair] = 0
        for other in changed - {pair}:
            if counts[other]:
                heapq.heappush(heap, Greatest((counts[other], other)))
        merges.append(pair)
        vocab[len(vocab)] = pair[0] + pair[1]
    return vocab, merges


class HeapTokenizer:
    def __init__(self, vocab, merges, special_tokens=None):
        self.vocab = dict(vocab)
        self.ids = {token: i for i, token in vocab.items()}
        self.special = sorted(special_tokens or [], key=len, reverse=True)
        for token in special_tokens or []:
            if token.encode() not in self.ids:
                self.ids[token.encode()] = len(self.vocab)
                self.vocab[len(self.vocab)] = token.encode()
        self.rank = {pair: i for i, pair in enumerate(merges)}

    def encode_word(self, word):
        first = node = None
        heap = []
        for order, byte in enumerate(word.encode()):
            node = Node(bytes([byte]), order, node)  # count is used as the place in the word here
            first = first or node
        node = first
        while node.after is not None:
            self.push(heap, node)
            node = node.after
        while heap:
            rank, _, node = heapq.heappop(heap)
            if node.after is None or self.rank.get((node.token, node.after.token)) != rank:
                continue
            gone = node.after
            node.token, gone.token, node.after = node.token + gone.token, None, gone.after
            if node.after is not None:
                node.after.before = node
                self.push(heap, node)
            if node.before is not None:
                self.push(heap, node.before)
        while first is not None:
            yield self.ids[first.token]
            first = first.after

    def push(self, heap, node):
        rank = self.rank.get((node.token, node.after.token))
        if rank is not None:
            heapq.heappush(heap, (rank, node.count, node))

    def encode(self, text):
        return [i for part, special in cut(text, self.special) for i in self.part_ids(part, special)]

    def part_ids(self, part, special):
        if special:
            return [self.ids[part.encode()]]
        return [i for match in PATTERN.finditer(part) for i in self.encode_word(match.group())]

    def encode_iterable(self, iterable):
        text, longest = "", max(map(len, self.special), default=1)
        for chunk in iterable:
            text += chunk
            # A letter before a space ends a pre-token; keep enough behind it for every special token.
            spaces = [
                m.start() for m in regex.finditer(r"(?<=\p{L}) ", text) if m.start() <= len(text) - longest
            ]
            safe = [at for at in spaces[-1:] if not self.crosses(text, at)]
            if safe:
                yield from self.encode(text[: safe[0]])
                text = text[safe[0] :]
        yield from self.encode(text)

    def crosses(self, text, at):
        return any(
            text.startswith(t, max(0, i))
            for t in self.special
            for i in range(at - len(t) + 1, at + 1)
            if i >= 0
        )

    def decode(self, ids):
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return "".join([decoder.decode(self.vocab[i]) for i in ids]) + decoder.decode(b"", final=True)


def get_tokenizer(vocab, merges, special_tokens=None):
    return HeapTokenizer(vocab, merges, special_tokens)
