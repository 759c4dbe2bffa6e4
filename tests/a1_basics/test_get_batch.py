"""Batches from one long row of tokens: where they start, what the targets are, what is read to make them.

The implementation may draw from the global generator of torch, numpy or random: the tests seed all three.
"""

import random
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.harness.explain import expect, expect_close, expect_equal

MEGABYTE = 2**20


def seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - an implementation may use numpy's global generator
    random.seed(seed)


def shuffled(num_tokens: int, dtype=np.uint16, seed: int = 0) -> np.ndarray:
    """Every token differs, in random order: no arithmetic on a token gives its neighbour."""
    return np.random.default_rng(seed).permutation(num_tokens).astype(dtype)


def batch(adapters, dataset, batch_size=4, context_length=5, device="cpu"):
    return adapters.run_get_batch(
        dataset=dataset, batch_size=batch_size, context_length=context_length, device=device
    )


def starts_in(dataset: np.ndarray, x: torch.Tensor) -> np.ndarray:
    """Where each row begins, when all tokens of the dataset differ."""
    place = {int(token): i for i, token in enumerate(dataset)}
    return np.array([place.get(int(token), -1) for token in x[:, 0]])


def expect_windows(dataset: np.ndarray, x: torch.Tensor, y: torch.Tensor, case: str) -> None:
    """x holds consecutive tokens of the dataset, y the ones that follow each of them."""
    context_length = x.shape[1]
    for row, start in enumerate(starts_in(dataset, x)):
        expect(
            0 <= start <= len(dataset) - context_length - 1,
            what="each row of x starts at a token of the dataset that leaves room for the last target",
            why="positions in place of tokens, or a window over the end, train on tokens that are not in "
            "the text",
            counterexample=f"row {row} of x starts with {int(x[row, 0])}, found at index {start} (-1: "
            f"nowhere) of {len(dataset)} tokens",
            case=case,
        )
        expect_equal(
            x[row].tolist(),
            dataset[start : start + context_length].astype(np.int64).tolist(),
            what="each row of x is a stretch of consecutive tokens",
            why="the model learns to continue the text as it stands",
            case=f"{case}, row {row}, start {start}",
        )
        expect_equal(
            y[row].tolist(),
            dataset[start + 1 : start + context_length + 1].astype(np.int64).tolist(),
            what="y[i, j] is the token that follows x[i, j] in the dataset",
            why="x + 1 is right only when the text counts upwards; no shift teaches copying, which reaches "
            "a loss of zero and knows nothing",
            case=f"{case}, row {row}, start {start}",
        )


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64], ids=lambda dtype: dtype.__name__)
def test_targets_are_the_next_tokens(adapters, dtype):
    seed_everything(1)
    dataset = shuffled(300, dtype)
    for _ in range(5):
        x, y = batch(adapters, dataset, batch_size=6, context_length=9)
        for name, part in (("x", x), ("y", y)):
            expect_equal(
                (tuple(part.shape), str(part.dtype)),
                ((6, 9), "torch.int64"),
                what=f"{name} has shape (batch_size, context_length) and dtype torch.long",
                why="embedding lookups and cross-entropy want long; int32 fails in the loss",
            )
        expect_windows(dataset, x, y, f"300 shuffled {dtype.__name__} tokens, batch 6, context 9")


def test_large_token_ids_survive(adapters):
    seed_everything(2)
    dataset = np.array([65535, 40000, 32768, 0, 50256, 65000], dtype=np.uint16)
    x, y = batch(adapters, dataset, batch_size=8, context_length=3)
    expect_windows(dataset, x, y, "uint16 tokens 65535, 40000, 32768, 0, 50256, 65000")


def test_every_start_is_equally_likely(adapters):
    seed_everything(3)
    dataset, context_length = shuffled(30), 7
    num_starts, draws = 30 - 7, 200 * 64
    counts = np.zeros(num_starts, dtype=int)
    for _ in range(200):
        x, _ = batch(adapters, dataset, batch_size=64, context_length=context_length)
        starts = starts_in(dataset, x)
        expect(
            bool((starts >= 0).all() and (starts < num_starts).all()),
            what="starts are 0 .. len(dataset) - context_length - 1, both included",
            why="one further, and the last target lies beyond the end",
            counterexample=f"starts seen: {sorted(set(starts.tolist()))}; 30 tokens, context 7, last legal "
            "start 22",
        )
        counts += np.bincount(starts, minlength=num_starts)
    # A fair draw leaves 5 sigma for one of 23 counts once in 76,000 seeds; a start that is never drawn is 24
    # sigma off.
    expected = draws / num_starts
    sigma = np.sqrt(draws / num_starts * (1 - 1 / num_starts))
    worst = int(np.argmax(np.abs(counts - expected)))
    expect(
        bool(abs(counts[worst] - expected) < 5 * sigma),
        what="every start is equally likely, the first and the last included",
        why="a start that is never drawn is text that is never learned: the end of the file, usually",
        counterexample=f"start {worst} was drawn {counts[worst]} times in {draws}; expected {expected:.0f} "
        f"+- {sigma:.0f} (first {counts[0]}, last {counts[-1]})",
        case="30 tokens, context 7: starts 0 .. 22",
    )


def test_rows_are_drawn_independently(adapters):
    seed_everything(4)
    dataset, same, following, draws = shuffled(18), 0, 0, 1600
    for _ in range(draws // 2):
        x, _ = batch(adapters, dataset, batch_size=3, context_length=2)
        starts = starts_in(dataset, x)
        steps = np.diff(starts) % 16
        same += int((steps == 0).sum())
        following += int((steps == 1).sum())
    # 16 starts: two rows agree, or follow one another, in 1 of 16 draws: 100 of 1600, sigma 9.7, and 5 sigma
    # allowed.
    for count, name in ((same, "start at the same token"), (following, "start one token apart")):
        expect_close(
            count,
            draws / 16,
            what="the rows of a batch are drawn independently, with replacement",
            why="rows that overlap or repeat give fewer different examples per step: a noisier gradient at "
            "full price",
            atol=49,
            case=f"16 starts, {draws} pairs of neighbouring rows: how many {name}",
        )


@pytest.mark.parametrize("context_length", [1, 6])
def test_smallest_dataset_has_one_start(adapters, context_length):
    seed_everything(5)
    dataset = shuffled(context_length + 1)
    x, y = batch(adapters, dataset, batch_size=4, context_length=context_length)
    expect_equal(
        (x.tolist(), y.tolist()),
        ([dataset[:-1].tolist()] * 4, [dataset[1:].tolist()] * 4),
        what="context_length + 1 tokens hold exactly one example, as often as the batch asks",
        why="the range of starts is off by one otherwise, or drawn without replacement",
        case=f"{context_length + 1} tokens, context {context_length}, batch 4",
    )


def test_too_short_a_dataset_is_refused(adapters):
    seed_everything(6)
    try:
        x, y = batch(adapters, shuffled(6), batch_size=2, context_length=6)
    except Exception:
        return
    expect(
        False,
        what="a dataset of context_length tokens, without a target for the last one, raises an error",
        why="made-up or wrapped-around targets, or a shorter batch, go unnoticed",
        counterexample=f"6 tokens, context 6: got x of shape {tuple(x.shape)}, y of shape {tuple(y.shape)}",
    )


def test_calls_differ_and_seeds_repeat(adapters):
    dataset = shuffled(1000)
    seed_everything(7)
    first, second = batch(adapters, dataset), batch(adapters, dataset)
    seed_everything(7)
    again = batch(adapters, dataset)
    seed_everything(8)
    other = batch(adapters, dataset)
    why_differ = "training on one and the same batch memorises it"
    for later, case in ((second, "the next call"), (other, "a call after another seed")):
        expect(
            first[0].tolist() != later[0].tolist(),
            what=f"{case} gives other rows",
            why=why_differ,
            counterexample=f"1000 tokens, batch 4, context 5: both gave {first[0].tolist()}",
        )
    expect_equal(
        (again[0].tolist(), again[1].tolist()),
        (first[0].tolist(), first[1].tolist()),
        what="the same global seed gives the same batch",
        why="an experiment that cannot be repeated cannot be compared, and a resumed run must see the "
        "batches that the undisturbed one saw; draw from torch's, numpy's or random's global generator",
        case="torch.manual_seed(7), numpy.random.seed(7), random.seed(7) before both",
    )


def test_wrong_device_raises(adapters):
    seed_everything(9)
    # RuntimeError: there is no such device. AssertionError: torch was built without CUDA, and says so that
    # way.
    try:
        x, _ = batch(adapters, shuffled(50), device="cuda:99")
    except (RuntimeError, AssertionError):
        return
    expect(
        False,
        what="a device that is not there raises torch's own error",
        why="falling back to the CPU silently turns an hour into a week",
        counterexample=f"device='cuda:99' gave a batch on {x.device}",
    )


def test_both_tensors_are_on_the_device_asked_for(adapters):
    # "meta" is on every machine: tensors without data. An implementation that must look at the data there may
    # refuse.
    names = ["cpu", "meta"]
    names += ["cuda:0"] if torch.cuda.is_available() else []
    names += ["mps"] if torch.backends.mps.is_available() else []
    for name in names:
        seed_everything(10)
        try:
            x, y = batch(adapters, shuffled(50), device=name)
        except (NotImplementedError, RuntimeError):
            if name == "meta":
                continue
            raise
        expect_equal(
            (x.device.type, y.device.type),
            (name.split(":")[0],) * 2,
            what="x and y are on the device asked for",
            why="the model's weights are there, and a batch elsewhere stops the first matmul",
            case=f"device={name!r}",
        )


def test_dataset_is_not_aliased(adapters):
    seed_everything(11)
    dataset = shuffled(40, np.int64)
    before = dataset.copy()
    for part in batch(adapters, dataset, batch_size=1, context_length=20):
        part.fill_(-100)
    expect_equal(
        dataset,
        before,
        what="writing into x or y does not change the dataset",
        why="masking some targets with -100 would silently erase the training text",
        case="40 int64 tokens, batch 1, context 20",
    )


def resident_bytes(file: Path) -> int | None:
    """How much of a mapped file this process has touched; None where the system does not tell."""
    maps = Path("/proc/self/smaps")
    if not maps.exists():
        return None
    sections = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", maps.read_text())
    found = [
        re.search(r"^Rss:\s+(\d+) kB", s, re.MULTILINE) for s in sections if str(file) in s.split("\n")[0]
    ]
    return sum(int(match[1]) * 1024 for match in found if match)


def test_memory_map_is_not_read_whole(adapters, tmp_path):
    file = tmp_path / "tokens-of-a-large-corpus.bin"
    with open(file, "wb") as handle:
        handle.truncate(64 * MEGABYTE)  # sparse: takes no room on disk
    dataset = np.memmap(file, dtype=np.uint16, mode="r")
    seed_everything(12)
    # Once on a small dataset: what is imported or built on first use stays out of the count.
    batch(adapters, shuffled(50), batch_size=2, context_length=8)
    tracemalloc.start()
    try:
        x, y = batch(adapters, dataset, batch_size=2, context_length=8)
        made_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    touched = resident_bytes(file)
    why = (
        "token files are larger than memory, and a batch needs a few kilobytes of them: a loader that "
        "copies or scans the file makes every step as slow as reading all of it"
    )
    case = "memory map of 64 MB, batch 2, context 8"
    # A batch is 256 bytes. Pages come in clusters of up to 2 MB, at most two for each of the two rows: 8 MB.
    for name, size in (
        ("arrays and lists made by numpy and Python", made_bytes),
        ("part of the file that was read", touched),
    ):
        expect(
            size is None or size < 16 * MEGABYTE,
            what="a batch reads its own windows, not the whole memory map",
            why=why,
            counterexample=f"{name}: {(size or 0) / MEGABYTE:.1f} MB",
            case=case,
        )
    expect_equal(
        (tuple(x.shape), tuple(y.shape)),
        ((2, 8), (2, 8)),
        what="a memory map gives batches like any array",
        why=why,
        case=case,
    )
