"""The verdict from records alone: only a complete, signed, ordered run of the expected tests is a pass."""

import json
import os

import pytest

from shared.doors.exercise import Exercise
from tests.harness.judge import Expected, judge
from tests.harness.outcomes import Outcome
from tests.harness.records import Recorder, read_records, sign
from tests.harness.worker import Report

KEY = b"k" * 32
EXERCISE = Exercise(id="sum", title="Sum", points=2, door=("run_sum",), hints=("add",))
TESTS = ("tests/s/test_sum.py::test_a", "tests/s/test_sum.py::test_b")
CANARIES = ("canaries::test_canary[before-plain]", "canaries::test_canary[after-plain]")
EXPECTED = Expected(TESTS, {}, CANARIES)


def result(test: str, outcome: str, kind: str = "Lesson") -> dict[str, object]:
    place = "adapters.py:3 in run_sum: raise NotImplementedError" if kind == "NotImplementedError" else ""
    parts = {"what": "a sum", "why": "it counts", "counterexample": "1", "type": kind, "place": place}
    lesson = parts if outcome == "failed" else None
    return {"event": "result", "test": test, "outcome": outcome, "lesson": lesson, "seconds": 0.1}


def good_run() -> list[dict[str, object]]:
    finished = {"event": "finished", "forbidden": [], "reference": [], "tests": [], "seals": []}
    return [
        {"event": "selected", "tests": [CANARIES[0], *TESTS, CANARIES[1]]},
        result(CANARIES[0], "failed", "AssertionError"),
        *[result(test, "passed") for test in TESTS],
        result(CANARIES[1], "failed", "AssertionError"),
        finished,
    ]


def signed(records: list[dict[str, object]], key: bytes = KEY) -> bytes:
    bodies = [json.dumps({"number": i, **record}).encode() for i, record in enumerate(records)]
    return b"".join(sign(key, body) + b" " + body + b"\n" for body in bodies)


def verdict(sent: list[dict[str, object]], expected: Expected = EXPECTED, **report):
    given = {"records": signed(sent), "exit_status": 0, **report}
    return judge(EXERCISE, expected, Report(**given), KEY, "marker")


def test_a_complete_run_passes():
    found = verdict(good_run())
    assert (found.outcome, found.earned) == (Outcome.PASSED, 2)


@pytest.mark.parametrize("left_out", range(6))
def test_any_record_left_out_is_no_pass(left_out):
    records = good_run()
    del records[left_out]
    assert verdict(records).outcome is Outcome.ERROR


@pytest.mark.parametrize("doubled", range(1, 5))
def test_any_result_doubled_is_an_error(doubled):
    records = good_run()
    records.insert(doubled, records[doubled])
    assert verdict(records).outcome is Outcome.ERROR


@pytest.mark.parametrize("cut", range(0, 900, 37))
def test_a_cut_stream_is_no_pass(cut):
    data = signed(good_run())
    assert verdict([], records=data[: len(data) - 1 - cut]).outcome is Outcome.ERROR


def test_a_mistake_is_shown_before_a_stub_that_is_still_to_be_written():
    records = good_run()
    records[2:4] = [result(TESTS[0], "failed", "NotImplementedError"), result(TESTS[1], "failed")]
    found = verdict(records)
    assert found.outcome is Outcome.FAILED
    assert found.failure is not None
    assert found.failure.test == TESTS[1]


def test_unknown_test_is_an_error():
    records = good_run()
    records.insert(2, result("tests/s/test_sum.py::test_extra", "passed"))
    assert verdict(records).outcome is Outcome.ERROR


def test_canary_that_passes_is_tampering():
    records = good_run()
    records[1] = result(CANARIES[0], "passed")
    found = verdict(records)
    assert found.outcome is Outcome.ERROR
    assert "tampering" in found.message


@pytest.mark.parametrize(
    "data",
    [
        signed(good_run(), key=b"x" * 32),
        b"not json\n",
        signed(good_run()) + b'{"event": "result"}\n',
        b"\n" + signed(good_run()),
        signed(good_run()[:2]) + signed(good_run()),
    ],
)
def test_foreign_records_are_tampering(data):
    found = verdict([], records=data)
    assert found.outcome is Outcome.ERROR
    assert "tampering" in found.message


@pytest.mark.parametrize("outcome", ["skipped", "xfail", "incomplete", "error", "PASSED", ""])
def test_any_other_outcome_is_an_error(outcome):
    records = good_run()
    records[2] = result(TESTS[0], outcome)
    assert verdict(records).outcome is Outcome.ERROR


def test_a_failure_is_explained():
    records = good_run()
    records[3] = result(TESTS[1], "failed")
    found = verdict(records)
    assert (found.outcome, found.message, found.earned) == (Outcome.FAILED, "1 of 2 checks fail", 0)
    assert found.failure is not None
    assert (found.failure.what, found.failure.test) == ("a sum", TESTS[1])


def test_not_implemented_everywhere_is_not_started_and_somewhere_is_failed():
    records = good_run()
    records[2] = result(TESTS[0], "failed", "NotImplementedError")
    assert verdict(records).outcome is Outcome.FAILED
    records[3] = result(TESTS[1], "failed", "NotImplementedError")
    assert verdict(records).outcome is Outcome.NOT_STARTED


@pytest.mark.parametrize(
    ("field", "value", "outcome"),
    [
        ("seals", ["torch.equal"], Outcome.ERROR),
        ("reference", ["a1_basics.inside"], Outcome.ERROR),
        ("forbidden", [{"name": "torch.mul", "file": "a.py", "line": 3}], Outcome.FORBIDDEN),
        ("tests", [{"name": "tests.x", "file": "a.py", "line": 3, "does": "imports"}], Outcome.FORBIDDEN),
    ],
)
def test_what_the_guards_saw_counts_although_all_passed(field, value, outcome):
    records = good_run()
    records[-1] = {**records[-1], field: value}
    assert verdict(records).outcome is outcome


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        ({"stopped": "time", "detail": "9 s"}, Outcome.FAILED),
        ({"stopped": "memory", "detail": "9 GiB"}, Outcome.FAILED),
        ({"stopped": "output", "detail": "much"}, Outcome.ERROR),
        ({"stopped": "records"}, Outcome.ERROR),
        ({"exit_status": None}, Outcome.ERROR),
        ({"exit_status": 9}, Outcome.ERROR),
        ({"exit_status": 1 << 8}, Outcome.ERROR),
    ],
    ids=str,
)
def test_a_run_that_ended_badly_is_no_pass(report, outcome):
    assert verdict(good_run(), **report).outcome is outcome


def test_nothing_expected_is_an_error():
    assert verdict(good_run(), Expected((), {}, CANARIES)).outcome is Outcome.ERROR
    assert verdict(good_run(), Expected(TESTS, {}, CANARIES, "no file")).outcome is Outcome.ERROR


def test_all_skipped_on_this_machine_is_not_checked():
    records = good_run()
    records[2:4] = [result(test, "skipped") for test in TESTS]
    found = verdict(records, Expected(TESTS, dict.fromkeys(TESTS, "needs a GPU"), CANARIES))
    assert (found.outcome, found.earned) == (Outcome.NOT_CHECKED, 0)


def test_the_recorder_writes_what_the_reader_reads():
    read, write = os.pipe()
    recorder = Recorder(write, KEY)
    recorder.send("start", test="a")
    recorder.send("result", test="a", lesson={"what": "ä\n"})
    os.close(write)
    with os.fdopen(read, "rb") as file:
        records, damage = read_records(file.read(), KEY)
    assert damage == ""
    assert [(r["number"], r["event"]) for r in records] == [(0, "start"), (1, "result")]
    assert records[1]["lesson"] == {"what": "ä\n"}
