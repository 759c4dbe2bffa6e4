"""Byte-pair encoding with an index from pairs to words; a scan for the greatest; streaming that holds words back."""

import itertools
import re
from collections import Counter, defaultdict
from pathlib import Path

import regex

SOLVES = ("train_bpe", "tokenizer")

PATTERN = regex.compile(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def splitter(special_tokens):
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if special_tokens else None


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    if vocab_size < 256 + len(special_tokens):
        raise ValueError(f"vocab_size {vocab_size} is below 256 bytes + {len(special_tokens)} special tokens")
    text = Path(input_path).read_bytes().decode("utf-8")
    split = splitter(special_tokens)
    counted = Counter()
    for part in split.split(text) if split else [text]:
        if part not in special_tokens:
            counted.update(PATTERN.findall(part))
    words = [[bytes([b]) for b in word.encode()] for word in counted]
    frequency = list(counted.values())
    pairs, where = Counter(), defaultdict(set)
    for k, word in enumerate(words):
        for pair in itertools.pairwise(word):
            pairs[pair] += frequency[k]
            where[pair].add(k)
    vocab = dict(enumerate([token.encode() for token in special_tokens] + [bytes([b]) for b in range(256)]))
    merges = []
    while len(vocab) < vocab_size and pairs:
        best = max(pairs.items(), key=lambda item: (item[1], item[0]))[0]
        for k in list(where[best]):
            word = words[k]
            for pair in itertools.pairwise(word):  # out with the whole word, in with the new one
                pairs[pair] -= frequency[k]
                where[pair].discard(k)
                if not pairs[pair]:
                    del pairs[pair], where[pair]
            glued, i = [], 0
            while i < len(word):
                step = 2 if tuple(word[i : i + 2]) == best else 1
                glued.append(b"".join(word[i : i + step]))
                i += step
            words[k] = glued
            for pair in itertools.pairwise(glued):
                pairs[pair] += frequency[k]
                where[pair].add(k)
        merges.append(best)
        vocab[len(vocab)] = best[0] + best[1]
    return vocab, merges


class IndexTokenizer:
    def __init__(self, vocab, merges, special_tokens=None):
        self.vocab = dict(vocab)
        self.special_tokens = special_tokens or []
        for token in self.special_tokens:
            if token.encode() not in self.vocab.values():
                self.vocab[max(self.vocab) + 1] = token.encode()
        self.ids = {token: i for i, token in self.vocab.items()}
        self.rank = {pair: i for i, pair in enumerate(merges)}
        self.split = splitter(self.special_tokens)
        self.cache = {}

    def encode_word(self, word):
        if word not in self.cache:
            parts = [bytes([b]) for b in word.encode()]
            while len(parts) > 1:
                ranked = [
                    (self.rank.get(pair, 1 << 30), i) for i, pair in enumerate(itertools.pairwise(parts))
                ]
                rank, at = min(ranked)
                if rank == 1 << 30:
                    break
                parts[at : at + 2] = [parts[at] + parts[at + 1]]
            self.cache[word] = [self.ids[part] for part in parts]
        return self.cache[word]

    def encode(self, text):
        return list(self.encode_iterable([text]))

    def encode_iterable(self, iterable):
        held = ""
        for chunk in iterable:
            held += chunk
            if len(held) < 2000:
                continue
            # A piece is settled when three more follow it and no special token cut short by the end can touch it.
            reach = max(map(len, self.special_tokens), default=0) + 2
            pieces, given = self.pieces(held), 0
            while len(pieces) > 3 and given + len(pieces[0]) <= len(held) - reach:
                piece = pieces.pop(0)
                given += len(piece)
                yield from self.ids_of(piece)
            held = held[given:]
        for piece in self.pieces(held):
            yield from self.ids_of(piece)

    def pieces(self, text):
        found = []
        for part in self.split.split(text) if self.split else [text]:
            found += [part] if part in self.special_tokens else PATTERN.findall(part)
        return [piece for piece in found if piece]

    def ids_of(self, piece):
        return [self.ids[piece.encode()]] if piece in self.special_tokens else self.encode_word(piece)

    def decode(self, ids):
        return b"".join(self.vocab[i] for i in ids).decode("utf-8", errors="replace")


def get_tokenizer(vocab, merges, special_tokens=None):
    return IndexTokenizer(vocab, merges, special_tokens)
