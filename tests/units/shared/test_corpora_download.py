"""One file from a server that cuts, stalls, lies and changes its mind: what comes is right or nothing comes."""

import hashlib
import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.corpora import download
from shared.corpora.download import Download, Refused, Unreachable
from shared.errors import DataError
from tests.units.shared.data_server import Page, Site, serving

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site({"/file": Page(CONTENT)})) as site:
        yield site


class Fetch:
    """A download whose waits are noted, not waited."""

    def __init__(self, site: Site, target: Path, **known: object) -> None:
        self.waits: list[float] = []
        self.download = Download(site.url + "/file", target, sleep=self.waits.append, **known)  # type: ignore[arg-type]

    def run(self) -> bytes:
        self.download.run()
        return self.download.target.read_bytes()


def only(target: Path) -> bool:
    """Whether nothing else lies beside the target."""
    return [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("known", [{}, {"bytes": len(CONTENT)}, {"sha256": SHA256}])
def test_what_is_served_arrives(site: Site, tmp_path: Path, known: dict[str, object]) -> None:
    fetch = Fetch(site, tmp_path / "file", **known)
    assert fetch.run() == CONTENT
    assert only(tmp_path / "file")
    assert not fetch.waits


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_after_a_break_only_the_rest_is_asked_for(site: Site, tmp_path: Path, fault: str) -> None:
    site.faults = [fault, fault]
    fetch = Fetch(site, tmp_path / "file", stall_seconds=0.2)
    assert fetch.run() == CONTENT
    half, more = len(CONTENT) // 2, len(CONTENT) // 2 + len(CONTENT) // 4
    assert site.ranges("/file") == ["", f"bytes={half}-", f"bytes={more}-"]
    assert site.requests[1][1]["if-range"] == '"1"'
    assert site.sent_bytes == len(CONTENT)  # not a byte twice
    assert fetch.waits == [1.0, 2.0]  # longer each time
    assert only(tmp_path / "file")


def test_another_process_goes_on_from_what_one_left(site: Site, tmp_path: Path) -> None:
    site.faults = ["cut"] + ["503"] * 4
    with pytest.raises(
        DataError, match=r"503 .* after 5 attempts. 150 kB are kept: the same command goes on"
    ):
        Fetch(site, tmp_path / "file").run()
    assert not (tmp_path / "file").exists()
    assert Fetch(site, tmp_path / "file").run() == CONTENT
    assert site.ranges("/file")[-1] == f"bytes={len(CONTENT) // 2}-"


@pytest.mark.parametrize(
    ("validator", "fault"), [("ETag", ""), ("ETag", "ignore_if_range"), ("Last-Modified", "")]
)
def test_pieces_of_two_versions_are_never_joined(
    site: Site, tmp_path: Path, validator: str, fault: str
) -> None:
    old, new = ('"1"', '"2"') if validator == "ETag" else ("Mon, 01 Jan 2024 00:00:00 GMT", "now")
    site.pages["/file"] = Page(bytes(len(CONTENT)), {validator: old})
    site.faults = ["cut"] + ["503"] * 4
    with pytest.raises(DataError):
        Fetch(site, tmp_path / "file").run()
    site.pages["/file"] = Page(CONTENT, {validator: new})
    site.faults = [fault]
    assert Fetch(site, tmp_path / "file").run() == CONTENT


def test_joined_pieces_of_wrong_digest_are_fetched_once_more_from_the_start(
    site: Site, tmp_path: Path
) -> None:
    site.pages["/file"] = Page(bytes(len(CONTENT)))
    site.faults = ["cut"] + ["503"] * 4
    with pytest.raises(DataError):
        Fetch(site, tmp_path / "file", sha256=SHA256).run()
    site.pages["/file"] = Page(CONTENT)  # another content under the same ETag
    assert Fetch(site, tmp_path / "file", sha256=SHA256).run() == CONTENT
    assert site.ranges("/file")[-1] == ""


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
@pytest.mark.parametrize("sha256", ["", SHA256])
def test_without_a_version_only_a_digest_lets_a_part_be_continued(
    site: Site, tmp_path: Path, headers: dict[str, str], sha256: str
) -> None:
    site.pages["/file"] = Page(CONTENT, headers)
    site.faults = ["cut"]
    assert Fetch(site, tmp_path / "file", sha256=sha256).run() == CONTENT
    assert site.ranges("/file") == ["", f"bytes={len(CONTENT) // 2}-" if sha256 else ""]


@pytest.mark.parametrize("fault", ["ignore_range", "other_range"])
def test_a_server_that_knows_no_ranges_sends_it_all_again(site: Site, tmp_path: Path, fault: str) -> None:
    site.faults = ["cut", fault]
    assert Fetch(site, tmp_path / "file").run() == CONTENT


def test_a_part_that_is_whole_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    state = {"url": site.url + "/file", "validator": '"1"', "total": len(CONTENT)}
    (tmp_path / "file.part.json").write_text(json.dumps(state))
    assert Fetch(site, tmp_path / "file").run() == CONTENT
    assert site.sent_bytes == 0


@pytest.mark.parametrize(
    "state", ["", "[]", '{"url": "https://elsewhere", "validator": "\\"1\\""}', '{"validator"']
)
def test_a_part_of_unknown_origin_starts_over(site: Site, tmp_path: Path, state: str) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    (tmp_path / "file.part.json").write_text(state)
    assert Fetch(site, tmp_path / "file").run() == CONTENT


def test_a_length_that_is_a_lie_ends_in_an_error(site: Site, tmp_path: Path) -> None:
    site.faults = ["lie_long"] * 20
    with pytest.raises(DataError, match="after 5 attempts"):
        Fetch(site, tmp_path / "file").run()
    assert not (tmp_path / "file").exists()


def test_another_length_than_the_catalog_says_is_refused_before_the_first_byte(
    site: Site, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"offers 300,000 bytes, the catalog says 1,000"):
        Fetch(site, tmp_path / "file", bytes=1000).run()
    assert not list(tmp_path.iterdir())


def test_wrong_bytes_are_named_and_not_kept(site: Site, tmp_path: Path) -> None:
    site.faults = ["wrong_bytes"]
    wrong = hashlib.sha256(bytes(len(CONTENT))).hexdigest()
    with pytest.raises(
        DataError, match=rf"SHA-256 is {wrong}, and should be {SHA256}. Nothing of it was kept"
    ):
        Fetch(site, tmp_path / "file", sha256=SHA256).run()
    assert not list(tmp_path.iterdir())


def test_the_digest_that_the_hub_names_on_its_redirect_is_checked(site: Site, tmp_path: Path) -> None:
    site.pages["/file"] = Page(CONTENT, {"X-Linked-ETag": f'"{"0" * 64}"'})
    site.pages["/stored"] = Page(CONTENT)
    site.faults = ["redirect=/stored"]
    with pytest.raises(DataError, match="should be 0000"):
        Fetch(site, tmp_path / "file").run()
    site.pages["/file"].headers["X-Linked-ETag"] = f'"{SHA256}"'
    site.faults = ["redirect=/stored", "cut", "redirect=/stored"]
    assert Fetch(site, tmp_path / "file").run() == CONTENT
    assert site.ranges("/stored")[-1] == f"bytes={len(CONTENT) // 2}-"


@pytest.mark.parametrize(
    "place", ["http://example.org/file", "ftp://127.0.0.1/file", "file:///etc/passwd", "//example.org/file"]
)
def test_redirects_to_anything_but_https_are_not_followed(site: Site, tmp_path: Path, place: str) -> None:
    site.faults = [f"redirect={place}"]
    with pytest.raises(Refused, match=r"not https: not followed|is not allowed"):
        Fetch(site, tmp_path / "file").run()


@pytest.mark.parametrize("url", ["http://example.org/file", "file:///etc/passwd", "ftp://example.org/x"])
def test_only_https_is_read_at_all(tmp_path: Path, url: str) -> None:
    with pytest.raises(Refused, match="is not https"):
        Download(url, tmp_path / "file").run()


def test_endless_redirects_end(site: Site, tmp_path: Path) -> None:
    site.faults = ["redirect=/file"] * 100
    with pytest.raises(DataError, match="302"):
        Fetch(site, tmp_path / "file").run()


@pytest.mark.parametrize("status", ["401", "403", "404", "410"])
def test_a_refusal_is_final(site: Site, tmp_path: Path, status: str) -> None:
    site.faults = [status]
    with pytest.raises(Refused, match=f"answered {status}"):
        Fetch(site, tmp_path / "file").run()
    assert len(site.requests) == 1


def test_a_busy_server_is_given_the_time_that_it_asks_for(site: Site, tmp_path: Path) -> None:
    site.faults = ["503=7", "429=11", "500"]
    fetch = Fetch(site, tmp_path / "file")
    assert fetch.run() == CONTENT
    assert fetch.waits == [7.0, 11.0, 4.0]


def test_a_server_that_asks_for_an_hour_is_left_alone(site: Site, tmp_path: Path) -> None:
    site.faults = ["503=3600"]
    fetch = Fetch(site, tmp_path / "file")
    with pytest.raises(DataError, match="asks to wait 3600 s"):
        fetch.run()
    assert not fetch.waits


def test_offline_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable, match="no connection"):
        Download(
            f"http://127.0.0.1:{port}/file", tmp_path / "file", sleep=lambda seconds: pytest.fail("waits")
        ).run()


def test_offline_in_the_middle_keeps_what_has_come(site: Site, tmp_path: Path) -> None:
    site.faults = ["cut"] + ["503"] * 4
    with pytest.raises(DataError):
        Fetch(site, tmp_path / "file").run()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}/file"
    state = json.loads((tmp_path / "file.part.json").read_text())
    (tmp_path / "file.part.json").write_text(json.dumps(state | {"url": nowhere}))
    with pytest.raises(Unreachable, match=r"after 5 attempts. 150 kB are kept"):
        Download(nowhere, tmp_path / "file", sleep=lambda seconds: None).run()
    (tmp_path / "file.part.json").write_text(json.dumps(state))
    assert Fetch(site, tmp_path / "file").run() == CONTENT
    assert site.sent_bytes < 1.1 * len(CONTENT)  # the half was not sent again; the five refusals are short


def test_chunks_need_no_length_but_a_bare_stream_needs_a_digest(site: Site, tmp_path: Path) -> None:
    site.faults = ["chunked"]
    assert Fetch(site, tmp_path / "a").run() == CONTENT
    site.faults = ["no_length"]
    with pytest.raises(Refused, match="does not say how long"):
        Fetch(site, tmp_path / "b").run()
    site.faults = ["no_length"]
    assert Fetch(site, tmp_path / "c", sha256=SHA256).run() == CONTENT


def test_a_packed_answer_is_refused(site: Site, tmp_path: Path) -> None:
    site.faults = ["gzip"]
    with pytest.raises(Refused, match="sends it packed"):
        Fetch(site, tmp_path / "file").run()


def test_a_full_disk_is_met_before_the_work(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SPARE_BYTES", 1 << 62)
    with pytest.raises(DataError, match=r"wants 300 kB in .* are free there. Free some, or give --data"):
        Fetch(site, tmp_path / "file").run()
    assert not list(tmp_path.iterdir())


def test_a_file_that_came_meanwhile_is_left_as_it_is(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "sync_file", lambda path: (tmp_path / "file").write_bytes(b"good data"))
    with pytest.raises(DataError, match="came to lie there meanwhile"):
        Fetch(site, tmp_path / "file").run()
    assert (tmp_path / "file").read_bytes() == b"good data"


def test_every_seed_of_trouble_ends_in_the_right_bytes(site: Site, tmp_path: Path) -> None:
    """Faults in random order: whatever is in place in the end is what is served, and nothing else is ever in place."""
    kinds = [
        "cut",
        "cut",
        "cut",
        "ignore_range",
        "other_range",
        "503",
        "wrong_bytes",
        "lie_long",
        "chunked",
        "429=1",
    ]
    finished = 0
    for seed in range(30):
        dice = random.Random(seed)
        site.faults = dice.choices(kinds, k=dice.randint(1, 6))
        target = tmp_path / str(seed) / "file"
        target.parent.mkdir()
        for _ in range(7):  # no more than faults, and one
            try:
                Fetch(site, target, sha256=SHA256, bytes=len(CONTENT)).run()
            except DataError:
                assert not target.exists()
            else:
                assert target.read_bytes() == CONTENT, f"seed {seed}"
                finished += 1
                break
    assert finished == 30
