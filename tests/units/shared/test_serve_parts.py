"""The parts of a server by themselves: keys, buckets, metrics, settings, the log, events."""

import ast
import doctest
import inspect
import io
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigError
from shared.serve import gate, keys, rates, refusals, streams
from shared.serve.journal import Journal
from shared.serve.metrics import BUCKETS_SECONDS, Metrics
from shared.serve.rates import TokenBuckets
from shared.serve.settings import ServerConfig


@pytest.mark.parametrize("module", [gate, rates, streams])
def test_the_examples_in_docstrings_hold(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_a_key_file_holds_no_key_and_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = keys.add_key(file, "alice")
    assert key not in file.read_text()
    assert len(key) >= 40
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    ring = keys.KeyRing(file)
    assert ring.name_of(key) == "alice"
    for wrong in (
        "",
        key[:-1],
        key + "x",
        key.upper(),
        keys.key_hash(key),
        "x" * 100_000,
        "é\udcff".encode(errors="replace").decode(),
    ):
        assert ring.name_of(wrong) is None


def test_adding_and_revoking_reach_a_running_ring(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    alice = keys.add_key(file, "alice")
    ring = keys.KeyRing(file)
    bob = keys.add_key(file, "bob")
    assert (ring.name_of(alice), ring.name_of(bob)) == ("alice", "bob")
    keys.revoke_key(file, "alice")
    assert (ring.name_of(alice), ring.name_of(bob)) == (None, "bob")
    file.write_text("{ torn")
    assert ring.name_of(bob) is None, "a damaged file admits nobody"
    file.unlink()
    assert ring.name_of(bob) is None


def test_every_stored_hash_is_compared_in_constant_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.json"
    made = [keys.add_key(file, f"user{number}") for number in range(4)]
    ring = keys.KeyRing(file)
    compared: list[tuple[str, str]] = []
    real = keys.hmac.compare_digest

    def counting(left: str, right: str) -> bool:
        compared.append((left, right))
        return real(left, right)

    monkeypatch.setattr(keys.hmac, "compare_digest", counting)
    for presented in (made[0], made[3], "lm_nothing"):
        compared.clear()
        ring.name_of(presented)
        assert len(compared) == 4, "the work must not depend on which key matches, or on whether one does"
        assert {right for _, right in compared} == {keys.key_hash(presented)}


def test_no_hash_is_compared_in_any_other_way() -> None:
    """Structure: the one comparison in `name_of` is compare_digest, and no look-up stands in for it."""
    tree = ast.parse(inspect.getsource(inspect.unwrap(keys.KeyRing.name_of)).lstrip().replace("\n    ", "\n"))
    secret = {"given", "stored", "key"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            assert "compare_digest" not in ast.unparse(node)
            touched = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
            assert not touched & {"given", "stored"}, ast.unparse(node)
            assert ast.unparse(node) == "len(key) > _LONGEST_KEY"
        if isinstance(node, ast.Subscript):
            assert not secret & {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
        assert not isinstance(node, ast.Break)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda file: keys.add_key(file, "alice"), "revoke it first"),
        (lambda file: keys.add_key(file, "../x"), "cannot name a key"),
        (lambda file: keys.revoke_key(file, "bob"), "it has: alice"),
        (lambda file: keys.KeyRing(file.with_name("none.json")), "there is no key file"),
    ],
)
def test_key_mistakes_say_what_to_do(tmp_path: Path, act: Any, says: str) -> None:
    file = tmp_path / "keys.json"
    keys.add_key(file, "alice")
    with pytest.raises(ConfigError, match=says):
        act(file)


def test_the_command_shows_a_key_once_and_lists_no_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "keys.json")
    assert keys.main(["--file", file, "add", "alice"]) == 0
    key = capsys.readouterr().out.strip()
    assert keys.KeyRing(Path(file)).name_of(key) == "alice"
    assert keys.main(["--file", file, "list"]) == 0
    listed = capsys.readouterr().out
    assert "alice" in listed
    assert key not in listed
    assert keys.key_hash(key) not in listed
    assert keys.main(["--file", file, "revoke", "alice"]) == 0
    assert keys.main(["--file", file, "revoke", "alice"]) == 2
    with pytest.raises(ConfigError, match="holds no key"):
        keys.KeyRing(Path(file))


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_no_client_gets_more_than_its_burst_and_its_rate(rate: float, burst: int, gaps: list[float]) -> None:
    """Law: admitted <= burst + rate * time, and a refused client that waits as told is admitted."""
    now = 0.0
    buckets = TokenBuckets(rate, burst, clock=lambda: now)
    admitted = 0
    for gap in gaps:
        now += gap
        wait = buckets.wait_seconds("client")
        if wait == 0:
            admitted += 1
        else:
            now += wait * (1 + 1e-9) + 1e-9  # the rounding of one addition
            assert buckets.wait_seconds("client") == 0
            admitted += 1
        assert admitted <= burst + rate * now + 1e-6


def test_buckets_of_made_up_clients_do_not_fill_memory() -> None:
    now = 0.0
    buckets = TokenBuckets(1, 2, max_clients=100, clock=lambda: now)
    for number in range(1000):
        buckets.wait_seconds(f"client {number}")
    assert len(buckets) == 100
    now = 3.0
    buckets.wait_seconds("one more")
    assert len(buckets) == 1, "buckets that are full again are forgotten"


def test_a_histogram_is_cumulative_and_sums_up() -> None:
    metrics = Metrics()
    for seconds in (0.0001, 0.003, 0.003, 70.0):
        metrics.finish("GET", 200, seconds, 1, 2)
    metrics.finish("BREW\n", 418, BUCKETS_SECONDS[0], 0, 0)
    samples = dict(line.rsplit(" ", 1) for line in metrics.text().splitlines() if not line.startswith("#"))
    buckets = [float(value) for name, value in samples.items() if "_bucket" in name]
    assert buckets == sorted(buckets)
    assert buckets[0] == 2, "a bound belongs to its bucket"
    assert buckets[-1] == float(samples["http_request_duration_seconds_count"]) == 5
    assert float(samples["http_request_duration_seconds_sum"]) == pytest.approx(70.0071)
    assert samples['http_requests_total{method="other",status="418"}'] == "1"
    assert samples["http_request_body_bytes_total"] == "4"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"host": "0.0.0.0"}, "no keys are set"),
        ({"host": "example.org"}, "no keys are set"),
        ({"port": 70_000}, "is no port"),
        ({"max_body_bytes": 0}, "above 0"),
        ({"head_timeout_seconds": float("nan")}, "above 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ServerConfig(**settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:80", "[::1]:8000", "LOCALHOST"])
def test_own_hosts_are_admitted(host: str) -> None:
    assert ServerConfig().admits_host(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "[::1].evil"]
)
def test_other_hosts_are_not(host: str, tmp_path: Path) -> None:
    assert not ServerConfig().admits_host(host)
    assert ServerConfig(host="0.0.0.0", keys=tmp_path).admits_host(host)


def test_a_path_cannot_forge_a_line_of_the_log() -> None:
    stream = io.StringIO()
    Journal(stream).write("request", path='/\n{"event": "forged"}\u2028' + "x" * 5000, key=None)
    [line] = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["event"] == "request"
    assert len(entry["path"]) == 300
    assert "key" not in entry


def test_an_event_survives_what_other_line_ends_would_tear() -> None:
    text = "a\u2028b\x85c\x0bd"
    [line, empty, rest] = streams.event({"t": text}).decode().split("\n")
    assert json.loads(line.removeprefix("data: "))["t"] == text
    assert (empty, rest) == ("", "")


def test_every_refusal_has_its_three_parts_where_clients_look() -> None:
    made = [
        refusals.key_refused(True),
        refusals.too_often(0.2, 1.0),
        refusals.too_busy("requests", 1),
        refusals.wrong_host("x"),
        refusals.body_too_large(2, 1),
        refusals.too_slow("body", 1.0),
        refusals.not_http("x"),
        refusals.head_too_large(1),
        refusals.STOPPING,
        refusals.FAILED,
    ]
    assert len({refusal.code for refusal in made}) == len(made)
    for refusal in made:
        error = json.loads(refusal.body("id"))["error"]
        assert all(error[part] for part in ("message", "type", "code", "came", "wanted", "do"))
        assert error["request_id"] == "id"
    assert refusals.too_often(0.2, 1.0).headers["retry-after"] == "1", "a whole second: 0 would mean at once"


def test_importing_the_parts_a_door_may_need_loads_no_server() -> None:
    code = "import sys, shared.serve.settings, shared.serve.keys; print({'uvicorn', 'starlette'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
