"""Doors: contracts are checked by name and parameter, and nothing is borrowed in silence."""

import runpy
import textwrap
from dataclasses import replace
from types import SimpleNamespace

import pytest

from shared.doors import grades, resolve
from shared.doors import load as loading
from shared.doors.exercise import exercises
from shared.doors.protocols import BasicsDoor
from shared.errors import ContractError


@pytest.fixture
def adapters_file(tmp_path):
    """Writes an adapters file in a repository of its own; its path."""

    def write(body: str) -> str:
        (tmp_path / "pyproject.toml").write_text("")
        file = tmp_path / "adapters.py"
        file.write_text(textwrap.dedent(body))
        return str(file)

    return write


def test_the_reference_keeps_its_protocol():
    reference = resolve.door("a1_basics")
    assert isinstance(reference, BasicsDoor)
    assert resolve.own_functions(reference) == frozenset()


def test_an_unknown_stage_is_refused_by_name():
    with pytest.raises(ContractError, match=r"a9_dreams.*known: a1_basics"):
        resolve.door("a9_dreams")


def test_every_mismatch_is_listed_at_once(adapters_file):
    path = adapters_file("""
        def run_silu(x):
            return x

        def run_softmax(dim, in_features):
            return in_features

        run_rope = 3
    """)
    with pytest.raises(ContractError) as caught:
        resolve.door("a1_basics", path)
    message = str(caught.value)
    assert "3 places" in message
    assert "run_silu(x) should be run_silu(in_features)" in message
    assert "run_softmax(dim, in_features) should be run_softmax(in_features, dim)" in message
    assert "run_rope is int" in message


def test_more_parameters_are_welcome_when_they_can_be_left_out():
    contract = resolve.contract("a1_basics")

    def run_silu(in_features, beta=1.0):
        return in_features * beta

    def run_softmax(in_features, dim, temperature):
        return in_features * dim * temperature

    def run_linear(*args, **kwargs):
        return args, kwargs

    assert resolve.mismatches("a1_basics", {"run_silu": run_silu}, complete=False) == []
    assert len(resolve.mismatches("a1_basics", {"run_softmax": run_softmax}, complete=False)) == 1
    assert resolve.mismatches("a1_basics", {"run_linear": run_linear}, complete=False) == []
    assert len(resolve.mismatches("a1_basics", {}, complete=True)) == len(contract)


def test_a_function_of_any_number_of_arguments_takes_any_number():
    def run_checkpointed(function, *args):
        return function(*args)

    def of_one(function, args):
        return function(args)

    assert resolve.mismatches("a2_systems", {"run_checkpointed": run_checkpointed}, complete=False) == []
    [found] = resolve.mismatches("a2_systems", {"run_checkpointed": of_one}, complete=False)
    assert found == "run_checkpointed(function, args) should be run_checkpointed(function, *args)"


def test_what_is_missing_or_a_stub_is_borrowed_aloud(adapters_file, capsys):
    path = adapters_file('''
        def run_silu(in_features):
            """Mine."""
            return "mine"

        def run_softmax(in_features, dim):
            """Later."""
            raise NotImplementedError("later")
    ''')
    parts = resolve.door("a1_basics", path)
    reference = loading.load("a1_basics", "reference")
    assert isinstance(parts, BasicsDoor)
    assert parts.run_silu(None) == "mine"
    assert resolve.own_functions(parts) == {"run_silu"}
    assert parts.get_adamw_cls() is reference.get_adamw_cls()
    said = capsys.readouterr().err
    assert "own: run_silu" in said
    assert "borrowed from the reference" in said


def test_the_reference_passed_off_as_ones_own_is_refused(adapters_file):
    path = adapters_file("from a1_basics.adapters import run_silu\n")
    with pytest.raises(ContractError, match=r"run_silu .* reference's own function"):
        resolve.door("a1_basics", path)


def test_step_keys_follow_the_sources_of_the_implementation(adapters_file):
    path = adapters_file("def run_silu(in_features):\n    return 1\n")
    assert resolve.source_roots("a1_basics", "reference") == ["a1_basics"]
    roots = resolve.source_roots("a1_basics", path)
    assert "a1_basics" in roots
    assert any(str(path).startswith(root) for root in roots)


def test_a_function_of_several_problems_is_ones_own_when_all_of_them_pass(tmp_path, monkeypatch):
    shared, alone = "get_flashattention_autograd_function_pytorch", "get_sharded_optimizer"
    problems = ("flash_forward", "flash_backward")
    assert [e.id for e in exercises("a2_systems") if shared in e.door] == list(problems)
    file = tmp_path / "learner" / "a2_systems" / "adapters.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        f"def {shared}():\n    return 'mine'\n\n\n"
        "def get_flashattention_autograd_function_triton():\n    return 'mine'\n\n\n"
        f"def {alone}(params, optimizer_cls, **kwargs):\n    return 'mine'\n\n\n"
        "def attention_kernel():\n    return 'mine'\n"
    )
    found = replace(loading.locate("a2_systems", str(file)), kind="learner")
    locate = loading.locate
    monkeypatch.setattr(
        loading,
        "locate",
        lambda stage, impl, root=None: found if impl == "learner" else locate(stage, impl, root),
    )
    monkeypatch.setattr(loading, "load", lambda stage, impl: SimpleNamespace(**runpy.run_path(str(file))))

    def own_after(**outcomes: str) -> frozenset[str]:
        sources = grades.source_digests(tmp_path / "learner", "a2_systems")
        doors = {e.id: list(e.door) for e in exercises("a2_systems")}
        rows = {
            problem: {"outcome": outcome, "door": doors[problem], "sources": sources}
            for problem, outcome in outcomes.items()
        }
        grades.save_results(tmp_path / "learner", "a2_systems", rows)
        return resolve.own_functions(resolve.door("a2_systems", "learner"))

    assert own_after() == frozenset()
    assert own_after(optimizer_state_sharding="passed") == {alone}
    assert own_after(flash_forward="passed") == {alone}, "one of two: what it computes backwards may be wrong"
    assert own_after(flash_forward="failed", flash_backward="passed") == {alone}
    both = {alone, shared, "get_flashattention_autograd_function_triton", "attention_kernel"}
    assert own_after(flash_forward="passed", flash_backward="passed") == both
    assert own_after(flash_backward="failed") == {alone}
