"""Byte-pair encoding against gigatoken, rustbpe, tiktoken and Hugging Face: training, and encoding cold and warm.
The peers live in an environment of their own, `build/peers`, which this program makes by pip when it is absent; a peer
that cannot be had is `not checked`, by name. Outputs are compared before anything is timed.

- Everyone has one thread, and what is measured is processor time: other work on the machine then hardly matters.
- Training: 31.5 MB of Python's own library, files in order of their paths. The peers break ties in another way than
  "the greatest pair", so that merges differ from some point on: compared are the number of merges and the tokens that
  they make of the corpus, within half a percent.
- Encoding: ids compared one by one, output in fresh memory. Cold is a tokenizer that has seen no text, warm one that
  has just encoded this text. Ours writes two bytes for each id where the vocabulary allows it, gigatoken four.
"""

import hashlib
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from a1_basics.tokenizers import bpe, bpe_fast
from a1_basics.tokenizers.pretokenize import GPT2_PATTERN
from shared.runs.bench import Bench, measure, table, write_table
from shared.runs.program import run_program
from shared.store.kinds.tokenizer import bytes_to_text, text_to_bytes

INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}  # a table in docs/benchmarks.md, no artifact

PEERS = ("gigatoken==0.10.0", "rustbpe==0.1.0", "tiktoken==0.14.0", "tokenizers")
FOLDER = Path("build/peers")
CORPUS_BYTES = 31_500_000
TOKENS_FRACTION = 0.005  # by which the number of tokens may differ when only ties are broken in another way
END = "<|endoftext|>"
THREADS = ("RAYON_NUM_THREADS", "TOKENIZERS_PARALLELISM")  # one and none, set before any peer is loaded


def peer(name: str) -> Any:
    """A peer's module, or None with a line that says so. The first call makes their environment."""
    if not FOLDER.exists():
        print(f"putting {', '.join(PEERS)} into {FOLDER}", file=sys.stderr, flush=True)
        partial = FOLDER.with_name("peers-unfinished")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(partial), *PEERS]
        if subprocess.run(command, check=False).returncode == 0:
            partial.rename(FOLDER)
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))  # behind our own packages: theirs only fill gaps
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"not checked: {name} ({error}); remove {FOLDER} to try again", file=sys.stderr)
        return None


def python_source() -> bytes:
    """`CORPUS_BYTES` of Python's own library, and of numpy where that is shorter; text in UTF-8 only."""
    source = bytearray()
    folders = [Path(sysconfig.get_paths()["stdlib"]), Path(np.__file__).parent]
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if "site-packages" in path.relative_to(folder).parts:
                continue
            data = path.read_bytes()
            try:
                data.decode("utf-8")
            except UnicodeDecodeError:
                continue  # tests of Python's own that are not meant to be read
            source += data
            if len(source) >= CORPUS_BYTES:
                return bytes(source[:CORPUS_BYTES]).decode("utf-8", "ignore").encode("utf-8")
    return bytes(source)


def encoding_texts() -> dict[str, str]:
    """What is encoded, by name: code always, English and Korean where LM_TEST_DATA has them."""
    texts = {"code": python_source().decode("utf-8")}
    folder = Path(os.environ.get("LM_TEST_DATA", ""))
    for name, pattern in (("English", "gutenberg/*.txt"), ("Korean", "korean/*")):
        files = sorted(folder.glob(pattern)) if os.environ.get("LM_TEST_DATA") else []
        if not files:
            print(f"not checked: {name} text (LM_TEST_DATA is unset)", file=sys.stderr)
            continue
        texts[name] = "".join(
            file.read_bytes().decode("utf-8", "ignore") for file in files if file.suffix != ".gz"
        )
    if "Korean" in texts:  # of the treebank only its sentences
        lines = texts["Korean"].splitlines(keepends=True)
        is_table = lambda line: "\t" in line or line.startswith("# ")  # noqa: E731
        texts["Korean"] = "".join(
            line.removeprefix("# text = ")
            for line in lines
            if not is_table(line) or line.startswith("# text = ")
        )
    return texts


def num_tokens_alike(
    text: bytes, merges_of: Callable[[Any], bpe.Merges]
) -> Callable[[Any, bpe.Merges], None]:
    """Whether the merges in a peer's result are as many as ours and compress a text alike."""

    def compare(result: Any, ours: bpe.Merges) -> None:
        theirs = merges_of(result)
        assert len(theirs) == len(ours), f"{len(theirs)} merges against {len(ours)}"
        counts = []
        for merges in (theirs, ours):
            vocab = {i: bytes([i]) for i in range(256)}
            vocab.update({256 + i: left + right for i, (left, right) in enumerate(merges)})
            counts.append(len(bpe_fast.Tokenizer(vocab, merges).encode_array(text)))
        assert abs(counts[0] / counts[1] - 1) < TOKENS_FRACTION, f"{counts[0]} tokens against {counts[1]}"

    return compare


@dataclass(frozen=True)
class Slow:
    """A bench of which fewer rounds must do."""

    bench: Bench


def training_benches(corpus: bytes, path: Path) -> Iterator[Bench | Slow]:
    """Learn 10,000 and 32,000 tokens, each peer beside ours."""
    megabytes = len(corpus) / 1e6

    def bench(name: str, size: int, work: Callable[[], Any], merges_of: Callable[[Any], bpe.Merges]) -> Bench:
        return Bench(
            f"train {size:,} tokens on {megabytes:.1f} MB of code",
            work,
            lambda: bpe_fast.train_bpe(path, size, [END], num_workers=1)[1],
            num_tokens_alike(corpus, merges_of),
            name,
            "ours",
            work=megabytes,
            work_unit="MB",
        )

    text = corpus.decode("utf-8")
    pieces = [text[i : i + (1 << 20)] for i in range(0, len(text), 1 << 20)]
    if peer("gigatoken"):
        train = importlib.import_module("gigatoken.gigatoken_rs").train_bpe
        for size in (10_000, 32_000):
            work = lambda size=size: quietly(lambda: train(corpus, size, [END]))  # noqa: E731
            yield bench(named("gigatoken"), size, work, lambda result: result[1])
    if rustbpe := peer("rustbpe"):

        def train_rustbpe() -> Any:
            tokenizer = rustbpe.Tokenizer()
            tokenizer.train_from_iterator(iter(pieces), 10_000 - 1, pattern=GPT2_PATTERN)
            return tokenizer

        yield Slow(
            bench(named("rustbpe"), 10_000, train_rustbpe, lambda t: merges_of_ranks(t.get_mergeable_ranks()))
        )
    if tokenizers := peer("tokenizers"):

        def train_hugging_face() -> Any:
            tokenizer = tokenizers.ByteLevelBPETokenizer()
            # From memory: from a file it would read line by line, and never see a line feed before white space.
            tokenizer.train_from_iterator(
                iter(pieces), 10_000, min_frequency=1, special_tokens=[END], show_progress=False
            )
            return tokenizer

        yield Slow(bench(named("tokenizers"), 10_000, train_hugging_face, merges_of_hugging_face))


def merges_of_hugging_face(tokenizer: Any) -> bpe.Merges:
    """The merges of a byte-level tokenizer of Hugging Face's."""
    pairs = json.loads(tokenizer.to_str())["model"]["merges"]
    split = (pair.split(" ") if isinstance(pair, str) else pair for pair in pairs)
    return [(text_to_bytes(left), text_to_bytes(right)) for left, right in split]


def merges_of_ranks(ranks: Any) -> bpe.Merges:
    """The merges behind tokens in order of rank: replaying the earlier ones on a token leaves two parts."""
    ids = {bytes(token): rank for token, rank in ranks}
    merges: bpe.Merges = []
    for token, rank in sorted(ids.items(), key=lambda item: item[1]):
        parts = [bytes([byte]) for byte in token]
        while len(parts) > 2:
            joined = [ids.get(left + right, rank) for left, right in pairwise(parts)]
            at = joined.index(min(joined))
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2:
            merges.append((parts[0], parts[1]))
    return merges


def named(distribution: str) -> str:
    """A peer with its version."""
    return f"{distribution} {importlib.metadata.version(distribution)}"


def quietly(work: Callable[[], Any]) -> Any:
    """Do work without what a library prints past Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        return work()
    finally:
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)


def encoding_benches(name: str, text: str, ours: bpe_fast.Tokenizer) -> Iterator[Bench | Slow]:
    """Encode a text with one vocabulary, each peer beside ours."""
    data = text.encode("utf-8")
    megabytes = len(data) / 1e6

    def bench(
        what: str, peer_name: str, theirs: Callable[[], Any], mine: Callable[[], Any], **more: Any
    ) -> Bench:
        return Bench(f"encode {what}", theirs, mine, same_ids, peer_name, "ours", work_unit="MB", **more)

    tokenizers = peer("tokenizers")
    if tokenizers and (gigatoken := peer("gigatoken")):
        vocab = {bytes_to_text(token): i for i, token in ours.vocab.items()}
        merges = [(bytes_to_text(left), bytes_to_text(right)) for left, right in ours.merges]
        published = tokenizers.ByteLevelBPETokenizer(vocab, merges).to_str()
        theirs = {"warm": gigatoken.Tokenizer.from_json(published)}

        def start_cold() -> None:
            theirs["cold"] = gigatoken.Tokenizer.from_json(published)
            ours.forget()

        for state, prepare in (("warm", None), ("cold", start_cold)):
            yield bench(
                f"{megabytes:.1f} MB of {name}, {state}",
                named("gigatoken"),
                lambda state=state: theirs[state].encode(data),
                lambda: ours.encode_array(data),
                work=megabytes,
                prepare=prepare,
            )
        texts = [line for line in text.splitlines(keepends=True) if line.strip()][:100_000]
        yield bench(
            f"{len(texts):,} lines of {name} as list[str], warm",
            named("gigatoken"),
            lambda: theirs["warm"].encode_batch(texts, parallel=False),
            lambda: ours.encode_end_to_end(texts)[0],
            work=sum(len(line.encode("utf-8")) for line in texts) / 1e6,
        )
    if tiktoken := peer("tiktoken"):
        part = text[:4_000_000]
        ranks = {token: i for i, token in ours.vocab.items()}
        encoding = tiktoken.Encoding(name, pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={})
        yield Slow(
            bench(
                f"{len(part.encode()) / 1e6:.1f} MB of {name}, warm",
                named("tiktoken"),
                lambda: encoding.encode_to_numpy(part, disallowed_special=()),
                lambda: ours.encode_array(part),
                work=len(part.encode()) / 1e6,
            )
        )


def same_ids(theirs: Any, ours: np.ndarray) -> None:
    """Whether two encodings are the same ids; a batch's come as an awkward array."""
    if hasattr(theirs, "layout"):
        theirs = importlib.import_module("awkward").flatten(theirs).to_numpy()
    theirs = np.asarray(theirs)
    assert len(theirs) == len(ours), f"{len(theirs)} ids against {len(ours)}"
    assert np.array_equal(theirs, ours), f"ids differ from number {np.flatnonzero(theirs != ours)[0]} on"


def vocabularies(folder: Path, texts: dict[str, str]) -> Iterator[tuple[str, bpe_fast.Tokenizer]]:
    """Each text with its tokenizer: GPT-2's; or one learned from it, for Korean and where GPT-2's is not at hand."""
    published = Path(os.environ.get("LM_TEST_DATA", "")) / "gpt2"
    for name, text in texts.items():
        if name != "Korean" and (published / "vocab.bpe").exists():
            yield name, bpe_fast.Tokenizer.from_files(published / "encoder.json", published / "vocab.bpe")
        else:
            path = folder / name
            path.write_text(text, encoding="utf-8", newline="")
            yield name, bpe_fast.Tokenizer(*bpe_fast.train_bpe(path, 32_000, []))


@dataclass(frozen=True)
class BenchTokenizers:
    """How long to measure."""

    rounds: int = 11  # interleaved rounds of baseline, candidate and control
    slow_rounds: int = 3  # for peers that take seconds


PRESETS = {"default": BenchTokenizers(), "quick": BenchTokenizers(rounds=3)}


def main(config: BenchTokenizers) -> int:
    """Measure everything that can run here; 1 when outputs differed somewhere."""
    os.environ.update(zip(THREADS, ("1", "false"), strict=True))
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = encoding_texts()
        corpus, path = texts["code"].encode("utf-8"), folder / "corpus"
        path.write_bytes(corpus)
        groups = [training_benches(corpus, path)]
        groups += [encoding_benches(name, texts[name], ours) for name, ours in vocabularies(folder, texts)]
        for bench in chain.from_iterable(groups):
            slow = isinstance(bench, Slow)
            rounds = config.slow_rounds if slow else config.rounds
            results.append(measure(bench.bench if slow else bench, rounds, clock=time.process_time))
            print(table("tokenizers", results[-1:]).splitlines()[-1], flush=True)
    digest = hashlib.sha256(corpus).hexdigest()[:12]
    text = table("tokenizers", results, f"processor time, one thread; corpus sha256 {digest}")
    print(text)
    write_table("tokenizers", text)
    return int(any(result.difference for result in results))


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
