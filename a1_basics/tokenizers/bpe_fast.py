"""Byte-pair encoding, fast: the same merges and the same ids as `bpe.py`.

This is the front of the fast path. The work is done by kernels that numba compiles once per machine: text is cut into
pre-tokens 64 bytes at a time (`split_simd.py`, with its scalar twin `split_scalar.py`). To train, `count_fast.py`
counts them and `bpe_train_fast.py` learns merges; to encode, `bpe_encode_fast.py` looks them up and `merge_fast.py`
merges those that it has not seen. All this loads when it is first used. Where numba is missing, everything here is
the clear version.
"""

import contextlib
import ctypes
import functools
import hashlib
import heapq
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from a1_basics.tokenizers import bpe
from a1_basics.tokenizers.pretokenize import SpecialTokens, corpus_bytes, file_chunks, read_text
from shared.errors import DataError
from shared.runs.parallel import available_cores
from shared.runs.progress import progress

_KERNEL_FILES = (
    "memory",
    "split_scalar",
    "split_simd",
    "count_fast",
    "bpe_train_fast",
    "merge_fast",
    "bpe_encode_fast",
)
_CHUNK_BYTES = 1 << 22
_BYTES_PER_THREAD = 1 << 26  # below, a second thread costs more than it saves
_SAMPLE_BYTES = 1 << 14  # of a text that tell how rare a character is in it
_BYTES_PER_TRY = 1 << 10  # a try in Python takes as long as searching so many
_SLACK_IDS = 16  # more room than ids, as `bpe_encode_fast.SLACK_IDS` says


def _address_of(function: str) -> Callable[[Any], int]:
    """A function of Python's own interface that says where an object's text lies: nothing is copied."""
    address = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)((function, ctypes.pythonapi))
    return address  # type: ignore[return-value]


_ADDRESS_OF_ASCII = _address_of("PyUnicode_AsUTF8")
_ADDRESS_OF_BYTES = _address_of("PyBytes_AsString")


@functools.cache
def kernels() -> tuple[Any, Any, Any] | None:
    """The modules (`count_fast`, `bpe_train_fast`, `bpe_encode_fast`), or None without numba.

    Numba keeps compiled code as long as the file of the outermost function is unchanged, and does not look at what
    that imports. So the code is kept in a folder that is named after the content of all kernel files.
    """
    if importlib.util.find_spec("numba") is None:
        return None
    from numba.core import config

    settings: Any = config
    folder = Path(__file__).parent
    digest = hashlib.sha256(b"".join((folder / f"{name}.py").read_bytes() for name in _KERNEL_FILES))
    earlier = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder / "__pycache__" / f"kernels-{digest.hexdigest()[:12]}")
    try:
        from a1_basics.tokenizers import bpe_encode_fast, bpe_train_fast, count_fast
    finally:
        settings.CACHE_DIR = earlier
    return count_fast, bpe_train_fast, bpe_encode_fast


@contextlib.contextmanager
def _announced() -> Iterator[None]:
    """Say on stderr that kernels are being compiled as soon as numba does that; or that loading them takes long."""
    from numba.core import event

    def say(doing: str) -> None:
        timer.cancel()
        print(f"{doing} ...", file=sys.stderr, flush=True)

    class Compiling(event.Listener):
        is_said = False

        def on_start(self, event: Any) -> None:
            if not self.is_said:
                say("compiling the tokenizer's kernels (once per machine, about a minute)")
            self.is_said = True

        def on_end(self, event: Any) -> None:
            pass

    timer = threading.Timer(2.0, say, ["loading the tokenizer's kernels"])
    timer.daemon = True
    timer.start()
    try:
        with event.install_listener("numba:compile", Compiling()):
            yield
    finally:
        timer.cancel()


@functools.cache
def warm() -> None:
    """Compile every kernel, or load what was compiled before."""
    found = kernels()
    if found is None:
        return
    counting, training, encoding = found
    with _announced():
        counts = counting.WordCounts()
        text = np.frombuffer(b"a word, another word and a longer_one_than_fits_in_a_key", dtype=np.uint8)
        counts.add(text, 0, len(text))
        counts.merge(counts)
        training.learn_merges(*counts.words(), 256, 3)
        merger = encoding.Merger({bytes([byte]): byte for byte in range(256)}, [])
        begin = text.ctypes.data
        merger.encode_pieces(np.array([[begin, begin + len(text), -1]]), np.empty(100, dtype=merger.dtype))


def train_bpe(
    input_path: str | os.PathLike[str],
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    num_workers: int | None = None,
) -> tuple[bpe.Vocab, bpe.Merges]:
    """Learn the vocabulary and merges that `bpe.train_bpe` learns.

    `num_workers` threads count pre-tokens; None is one for each core, and one for a small file.

    Raises:
        ConfigError: `vocab_size` is below 256 plus the special tokens.
        DataError: the file is missing, empty or not UTF-8.
    """
    found = kernels()
    if found is None:
        return bpe.train_bpe(input_path, vocab_size, special_tokens)
    special = SpecialTokens(special_tokens)
    vocab = bpe.initial_vocab(vocab_size, special)
    first_merge_id = len(vocab)
    text, places, weights = _count_file(found[0].WordCounts, input_path, special, num_workers).words()
    rows, symbols = found[1].learn_merges(text, places, weights, first_merge_id, vocab_size - first_merge_id)
    data = text.tobytes()
    tokens = [vocab[i] for i in range(first_merge_id)]
    for length, at in symbols[first_merge_id : first_merge_id + len(rows)].tolist():
        tokens.append(data[at : at + length])
    vocab.update(enumerate(tokens[first_merge_id:], first_merge_id))
    return vocab, [(tokens[left], tokens[right]) for left, right in rows.tolist()]


def _count_file(
    new_counts: Callable[[], Any],
    path: str | os.PathLike[str],
    special: SpecialTokens,
    num_workers: int | None,
) -> Any:
    """How often each pre-token occurs in a file; each thread counts chunks of it for itself."""
    warm()
    size_bytes = corpus_bytes(path)
    num_workers = num_workers or min(available_cores(), size_bytes // _BYTES_PER_THREAD + 1)
    needles = [(token.encode("utf-8"), 0) for token in special.tokens]
    chunks = file_chunks(path, _CHUNK_BYTES, special)
    lock = threading.Lock()

    def count_chunks(counts: Any) -> None:
        while True:
            with lock:
                start, end = next(chunks, (0, 0))
                bar.advance(end - start)
            if end == 0:
                return
            with open(path, "rb") as file:
                file.seek(start)
                data = file.read(end - start)
            array = np.frombuffer(data, dtype=np.uint8)
            for begin, stop, _ in cut_at_special_tokens(data, 0, needles):
                if begin < stop and not counts.add(array, begin, stop):
                    read_text(path, start, end)  # raises, and names the place
                    raise AssertionError("the kernels and Python disagree about what is UTF-8")

    tables = [new_counts() for _ in range(num_workers)]
    with progress(size_bytes, "count words", "bytes") as bar, ThreadPoolExecutor(num_workers) as threads:
        list(threads.map(count_chunks, tables) if num_workers > 1 else map(count_chunks, tables))
    for table in tables[1:]:
        tables[0].merge(table)
    return tables[0]


def cut_at_special_tokens(
    data: Any, address: int, needles: Sequence[tuple[Any, int]]
) -> list[tuple[int, int, int]]:
    """Rows (begin, end, id of the special token that follows, or -1): text between special tokens.

    The leftmost special token counts, and of those the longest. `data` is bytes or ASCII text, and so are the
    needles; begin and end count from `address`.

    >>> cut_at_special_tokens(b"x<a><a><b>", 0, [(b"<a>", 7), (b"<a><b>", 8)])
    [(0, 1, 7), (4, 4, 8), (10, 10, -1)]
    """
    found = ((len(token), i, finder(data, token)) for token, i in needles)
    ahead = [(place, -length, i, find) for length, i, find in found if (place := find(0)) >= 0]
    heapq.heapify(ahead)
    rows, at = [], 0
    while ahead:
        place, minus_length, token_id, find = ahead[0]
        if place >= at:
            rows.append((address + at, address + place, token_id))
            at = place - minus_length
        place = find(at)
        if place >= 0:
            heapq.heapreplace(ahead, (place, minus_length, token_id, find))
        else:
            heapq.heappop(ahead)
    rows.append((address + at, address + len(data), -1))
    return rows


def finder(data: Any, token: Any) -> Callable[[int], int]:
    """`data.find(token, at)` as a function of `at`: by its rarest character, which is found ten times as fast."""
    if len(data) < _SAMPLE_BYTES:
        return lambda at: data.find(token, at)
    counts = [data.count(token[i : i + 1], 0, _SAMPLE_BYTES) for i in range(len(token))]
    offset = counts.index(min(counts))
    rarest = token[offset : offset + 1]

    def find(at: int) -> int:
        place = at + offset - 1
        for _ in range((len(data) - at) // _BYTES_PER_TRY):
            place = data.find(rarest, place + 1)
            if place < 0 or data.startswith(token, place - offset):
                return max(place - offset, -1)
        return data.find(token, max(at, place - offset))  # it is not that rare after all

    return find


class Tokenizer(bpe.Tokenizer):
    """`bpe.Tokenizer` with a cache of pre-tokens, and merging whose time is n log n in a pre-token's length.

    `encode_array` and `encode_end_to_end` give ids as an array of `dtype`, two bytes each while the vocabulary allows.
    They can write into an array of the caller's, which saves asking the system for fresh memory. A tokenizer serves
    one thread at a time.

    Merges must be in an order in which training could have made them: each after those that made its parts.
    """

    def __init__(
        self, vocab: bpe.Vocab, merges: Iterable[bpe.Pair], special_tokens: Sequence[str] | None = None
    ):
        super().__init__(vocab, merges, special_tokens)
        found = kernels()
        self._merger = None
        self.dtype = np.dtype(np.uint32)
        if found is not None and max(self.vocab, default=0) < found[2].MAX_IDS:
            warm()
            self._merger = found[2].Merger(self._ids, self.merges)
            self.dtype = self._merger.dtype
        self._byte_needles = [(token.encode("utf-8"), i) for token, i in self._special_ids.items()]
        self._ascii_needles = [(token, i) for token, i in self._special_ids.items() if token.isascii()]

    def forget(self) -> None:
        """Empty the cache of pre-tokens, as in a new tokenizer."""
        if self._merger is not None:
            self._merger.forget()

    def encode(self, text: str) -> list[int]:
        if self._merger is None:
            return super().encode(text)
        return self.encode_array(text).tolist()

    def encode_array(
        self, text: str | bytes, out: Int[np.ndarray, " room"] | None = None
    ) -> Int[np.ndarray, " ids"]:
        """The ids of a text, or of bytes in UTF-8, as an array; a part of `out` where that is given.

        `room_for(text)` says how long `out` has to be.

        Raises:
            DataError: the vocabulary lacks a byte of the text, or bytes are not UTF-8.
            ValueError: `out` is too small or of another type than `dtype`.
        """
        if self._merger is None:
            ids = super().encode(text if isinstance(text, str) else _utf8(text))
            return self._fill(np.array(ids, dtype=self.dtype), out)
        if isinstance(text, str) and text.isascii():
            rows = cut_at_special_tokens(text, _ADDRESS_OF_ASCII(text), self._ascii_needles)
        else:
            text = text.encode("utf-8") if isinstance(text, str) else text
            rows = cut_at_special_tokens(text, _ADDRESS_OF_BYTES(text), self._byte_needles)
        out = self._room(len(text) + len(rows), out)
        return out[: self._encode_rows(rows, out)[-1]]

    def encode_end_to_end(
        self, texts: Sequence[str], out: Int[np.ndarray, " room"] | None = None
    ) -> tuple[Int[np.ndarray, " ids"], Int[np.ndarray, " texts"]]:
        """The ids of many texts end to end, and where each text's end; the texts are encoded apart.

        Raises:
            DataError: the vocabulary lacks a byte of a text.
            ValueError: `out` is too small or of another type than `dtype`.
        """
        if self._merger is None:
            lists = [super(Tokenizer, self).encode(text) for text in texts]
            ends = np.cumsum([len(ids) for ids in lists], dtype=np.int64)
            return self._fill(np.array([*chain.from_iterable(lists)], dtype=self.dtype), out), ends
        data: Any = "".join(texts)
        stops = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)))
        if data.isascii():
            address, needles = _ADDRESS_OF_ASCII(data), self._ascii_needles
        else:
            data = data.encode("utf-8")
            address, needles = _ADDRESS_OF_BYTES(data), self._byte_needles
            self._merger.count_bytes(stops, address)
        last_rows = np.arange(len(texts))
        if any(finder(data, token)(0) >= 0 for token, _ in needles):
            rows: Any = []
            for i, (begin, stop) in enumerate(pairwise([0, *stops.tolist()])):
                rows += cut_at_special_tokens(data[begin:stop], address + begin, needles)
                last_rows[i] = len(rows) - 1
        else:
            rows = np.full((len(texts), 3), -1, dtype=np.int64)
            rows[:, 1] = address + stops
            rows[1:, 0] = rows[:-1, 1]
            rows[:1, 0] = address
        out = self._room(len(data) + len(rows), out)
        ends = self._encode_rows(rows, out)
        return out[: ends[-1] if len(rows) else 0], ends[last_rows]

    def room_for(self, text: str | bytes) -> int:
        """The length of an `out` that certainly holds the ids of a text."""
        size_bytes = len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode("utf-8"))
        return 2 * size_bytes + _SLACK_IDS + 1

    def _room(self, num_ids: int, out: np.ndarray | None) -> np.ndarray:
        """A place for so many ids."""
        if out is None:
            return np.empty(num_ids + _SLACK_IDS, dtype=self.dtype)
        if (
            out.dtype != self.dtype
            or out.ndim != 1
            or not out.flags.c_contiguous
            or len(out) < num_ids + _SLACK_IDS
        ):
            raise ValueError(
                f"out is {out.dtype} of shape {out.shape}; wanted {self.dtype}, contiguous, of at least "
                f"({num_ids + _SLACK_IDS},): ask room_for(text)"
            )
        return out

    def _fill(self, ids: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """`ids`, in `out` where that is given."""
        if out is None:
            return ids
        self._room(len(ids), out)[: len(ids)] = ids
        return out[: len(ids)]

    def _encode_rows(self, rows: Any, out: np.ndarray) -> np.ndarray:
        """Encode pieces of text, rows (address, address after the last byte, id that follows or -1)."""
        assert self._merger is not None
        rows = np.asarray(rows, dtype=np.int64).reshape(-1, 3)
        try:
            return self._merger.encode_pieces(rows, out)
        except self._merger.Unencodable as error:
            begin, end, _ = rows[error.piece].tolist()
            super()._encode_plain(_utf8(ctypes.string_at(begin, end - begin)))
            raise AssertionError("the kernels refuse what the clear version encodes") from error

    def _encode_plain(self, text: str) -> list[int]:
        if self._merger is None:
            return super()._encode_plain(text)
        data = text.encode("utf-8")
        begin = _ADDRESS_OF_BYTES(data)
        out = self._room(len(data) + 1, None)
        return out[: self._encode_rows([(begin, begin + len(data), -1)], out)[-1]].tolist()


def _utf8(data: bytes) -> str:
    """The text of some bytes.

    Raises:
        DataError: they are not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"byte {data[error.start]:#04x} at offset {error.start:,} of a piece of text is not UTF-8. "
            'Encode text, or bytes that were checked: data.decode("utf-8", errors="replace")'
        ) from error
