"""Report pages: the right numbers, nothing run or loaded from foreign text, the same digest for the same run."""

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest

from shared.errors import ArtifactError
from shared.report import make, reproduce
from shared.report.base_run import read_base_run
from shared.report.markup import VOID_TAGS, tag
from shared.report.parts import short_count, visible
from shared.runs.config import from_dict, parse, to_dict
from shared.store.artifacts import Artifact, Store
from tests.system.report_fixture import EVIL, REPORT, run_store


class Outline(HTMLParser):
    """Tags as they open and close; complains about what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts = 0
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.references += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(store: Store) -> Artifact:
    make.main(make.MakeReport(store=store.root))
    return store.open("base", "Report")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return report(run_store(tmp_path_factory.mktemp("store")))


@pytest.fixture
def page(made: Artifact) -> str:
    return made.file("index.html").read_text(encoding="utf-8")


def test_headline_numbers_are_those_of_the_artifacts(page: str) -> None:
    assert "1.154" in page  # bits per byte
    assert "2.000" in page  # nats per token
    assert "6.4k" in page  # 100 steps x 4 sequences x 16 tokens
    assert "67 % of the way" in page  # (1.731 - 1.154) / (1.731 - 0.866)
    assert "2.50 bytes" in page


def test_page_is_well_formed_and_loads_nothing_from_elsewhere(page: str) -> None:
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    outside = [reference for reference in outline.references if not reference.startswith("#")]
    assert outside == ["measured/cost.js"]
    assert "http://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert "https://" not in page
    assert "default-src &#x27;none&#x27;" in page


def test_foreign_text_is_shown_and_never_run(page: str) -> None:
    outline = Outline()
    outline.feed(page)
    assert outline.scripts == 2  # the cost file and the one that fills it in
    assert "<b>bold" not in page
    assert EVIL.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;") in page


def test_cut_samples_and_hidden_ones_are_counted(page: str) -> None:
    assert "4,100 characters more in the artifact" in page
    assert "The first 6 of 12" in page


def test_measured_times_do_not_change_the_digest(made: Artifact, tmp_path: Path) -> None:
    slower = report(run_store(tmp_path, rate=10.0))
    assert slower.digest == made.digest
    assert made.file("measured/cost.js").read_text() != slower.file("measured/cost.js").read_text()
    assert '"tokens_per_second": "1,051"' in made.file("measured/cost.js").read_text()


def test_second_call_makes_nothing_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = run_store(tmp_path)
    first = report(store)
    capsys.readouterr()
    assert report(store).digest == first.digest
    assert "unchanged: Report 'base'" in capsys.readouterr().out


def test_text_without_a_known_floor_has_no_gauge(tmp_path: Path) -> None:
    human = REPORT | {"floor_bits_per_byte": None, "floor_nats_per_token": None}
    page = report(run_store(tmp_path, report=human)).file("index.html").read_text(encoding="utf-8")
    assert "of the way" not in page
    assert "entropy floor</text>" not in page
    assert "no floor is drawn" in page
    assert "counted bigram</text>" in page


def test_held_out_combinations_are_told_beside_the_gauge_where_they_were_measured(
    tmp_path: Path, page: str
) -> None:
    measured = REPORT | {"combinations_bits_per_byte": 1.5, "combinations_floor_bits_per_byte": 0.9}
    told = report(run_store(tmp_path, report=measured)).file("index.html").read_text(encoding="utf-8")
    assert "1.500 bits per byte, 0.600 above the floor" in told
    assert "0.288 above theirs" in told  # 1.154 - 0.866
    assert "above the floor" not in page


def test_artifacts_of_another_checkpoint_are_refused(tmp_path: Path) -> None:
    store = run_store(tmp_path)
    base = store.open("base", "Checkpoint")
    with store.draft("Checkpoint", config={"other": 1}, parents=base.parents, name="other") as draft:
        for name in base.files:
            (draft.path / name).write_bytes(base.file(name).read_bytes())
    with pytest.raises(ArtifactError, match="the report is about Checkpoint 'other'"):
        read_base_run(
            store, checkpoint="other", evaluation="base", samples="base", log="base", impl="reference"
        )


def test_missing_artifact_names_the_command_that_makes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ArtifactError, match=r"a1_basics\.run\.train_lm"):
        make.main(make.MakeReport(store=tmp_path))


def test_lineage_lists_parents_before_children(tmp_path: Path) -> None:
    store = run_store(tmp_path)
    samples = store.open("base", "Samples")
    artifacts = [samples, *store.lineage(samples)]
    kinds = [[artifact.kind for artifact in level] for level in reproduce.levels(artifacts)]
    assert kinds == [["Corpus"], ["Tokenizer"], ["Shards"], ["Checkpoint"], ["Samples"]]
    programs = [line.split()[2] for line in reproduce.commands(artifacts)]
    assert programs[0] == "shared.corpora.make"
    assert programs[-1] == "a1_basics.run.generate"


@dataclass(frozen=True)
class Inner:
    qk_norm: bool = True
    num_kv_heads: int | None = 2


@dataclass(frozen=True)
class Settings:
    model: Inner = Inner()
    use_it: bool = True
    prompts: tuple[str, ...] = ("a",)
    path: str = "x"
    rate: float = 0.1


def test_reproducing_flags_parse_back_to_the_same_settings() -> None:
    import shlex

    wanted = Settings(Inner(False, None), use_it=False, prompts=("", "it's <b>"), path="a b", rate=1e-5)
    recorded = to_dict(wanted)
    from shared.runs.config import flatten

    line = " ".join(reproduce.flags(flatten(recorded), {}))
    assert parse({"default": Settings()}, shlex.split(line)) == wanted
    assert from_dict(Settings, recorded) == wanted


def test_markup_escapes_text_and_attributes() -> None:
    assert tag("p", "<i>", title='"x"') == '<p title="&quot;x&quot;">&lt;i&gt;</p>'
    assert tag("p", [tag("i", "&"), None, 3]) == "<p><i>&amp;</i>3</p>"


def test_tokens_are_shown_so_that_they_can_be_told_apart() -> None:
    assert visible(b" a\n") == "<i>·</i>a<i>↵</i>"
    assert visible(b"\xc3") == r"\xc3"
    assert visible(b"<") == "&lt;"


def test_counts_are_short() -> None:
    assert [short_count(count) for count in (999, 1000, 1_234_567, 2e9)] == ["999", "1k", "1.23M", "2B"]
