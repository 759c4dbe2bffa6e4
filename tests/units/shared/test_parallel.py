"""The ordered map over processes: the same as `map`, a little ahead, and no error lost."""

import os
import sys

import pytest

from shared.errors import DataError
from shared.runs.parallel import available_cores, map_in_order

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="not checked: local functions reach forked workers only"
)


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_results_are_those_of_map_in_order(num_workers):
    factor = 7  # a closure: where processes are forked, work may be any callable
    assert list(map_in_order(lambda i: i * factor, range(100), num_workers)) == [i * 7 for i in range(100)]
    assert list(map_in_order(str, [], num_workers)) == []


def test_work_is_done_elsewhere():
    assert os.getpid() not in set(map_in_order(lambda _: os.getpid(), range(8), 2))
    assert set(map_in_order(lambda _: os.getpid(), range(8), 1)) == {os.getpid()}


def test_only_a_little_is_read_ahead():
    taken = 0

    def items():
        nonlocal taken
        for i in range(1000):
            taken += 1
            yield i

    results = map_in_order(str, items(), num_workers=2)
    assert [next(results) for _ in range(5)] == ["0", "1", "2", "3", "4"]
    assert taken < 20
    results.close()
    assert taken < 20


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_error_arrives_at_its_turn(num_workers):
    def work(i: int) -> int:
        if i == 3:
            raise DataError("three is not wanted; leave it out")
        return i

    results = map_in_order(work, range(50), num_workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="three is not wanted"):
        next(results)


def test_there_is_a_core():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
