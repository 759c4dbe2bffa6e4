"""Which files hold a problem's tests, and how much stands behind each problem: mutants and alternatives."""

import ast
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from shared.doors.exercise import Exercise
from tests.harness.mutants import has_own_answers, trials
from tests.harness.workspace import Workspace
from tests.system.fake_stage import EXERCISES, write_workspace

HERE = Workspace()
STAGES = HERE.stages()


def names(paths) -> list[str]:
    return [path.name for path in paths]


@pytest.fixture
def workspace(tmp_path):
    """A stage with the problems double, greet and greet_loudly, which has no file of its own."""
    found = write_workspace(tmp_path)
    loud = (
        'Exercise(id="greet_loudly", title="Shout", points=1, door=("run_shout",)),\n    Exercise(id="essay"'
    )
    (tmp_path / "a1_basics/exercises.py").write_text(EXERCISES.replace('Exercise(id="essay"', loud))
    for name in ("test_greet_many.py", "test_greet_loudly_twice.py", "test_greeting.py"):
        (tmp_path / "tests/a1_basics" / name).touch()
    return found


def test_a_problems_tests_may_lie_in_several_files(workspace):
    assert names(workspace.test_files("a1_basics", "greet")) == ["test_greet.py", "test_greet_many.py"]
    assert names(workspace.test_files("a1_basics", "double")) == ["test_double.py"]


def test_the_longest_id_wins_and_the_first_file_is_always_asked_for(workspace):
    assert names(workspace.test_files("a1_basics", "greet_loudly")) == [
        "test_greet_loudly.py",
        "test_greet_loudly_twice.py",
    ]


def test_a_file_of_no_problem_is_found(workspace):
    assert names(workspace.stray_test_files("a1_basics")) == ["test_greeting.py"]


@pytest.mark.parametrize("stage", STAGES)
def test_every_graded_file_is_some_problems(stage):
    assert HERE.stray_test_files(stage) == []


# Wrong solutions that pass all tests of the public assignment whose adapters ours are.
PUBLIC_HOLES = {
    "linear": "library_function half_precision no_grad",
    "embedding": "library_function bfloat16_table no_grad",
    "rmsnorm": "library_function in_the_dtype_of_x no_grad",
    "softmax": "library_function dim_ignored largest_of_all detached",
    "silu": "library_function exp_overflows no_grad",
    "rope": "ignores_positions theta_is_fixed",
    "scaled_dot_product_attention": "library_function masked_with_minus_1e4 masked_with_minus_1e9 "
    "scaled_by_the_width_of_values causal_mask_of_twelve without_gradient",
    "multihead_self_attention": "mask_of_twelve positions_ignored theta_is_fixed no_grad",
    "cross_entropy": "library_function two_dimensions_only",
    "adamw": "library_class constructors_learning_rate first_groups_settings one_count_for_all fixed_decay_rate "
    "eps_inside_the_root",
    "gradient_clipping": "library_function always_rescales rebinds_gradients iterates_twice",
    "get_batch": "targets_count_upwards positions_in_place_of_tokens int32_tokens copies_the_memory_map",
    "checkpointing": "paths_only param_groups_dropped",
    "train_bpe": "never_splits_at_special_tokens only_endoftext_is_special overlapping_pairs_counted_wrong "
    "special_tokens_last crashes_when_pairs_run_out invents_merges_when_pairs_run_out",
    "tokenizer": "missing_special_tokens_not_added decode_ignores_bad_bytes encode_iterable_reads_all "
    "encode_iterable_chunk_by_chunk encode_iterable_cuts_special_tokens",
}


def functions_in(path: Path) -> list[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def test_every_hole_of_the_public_tests_is_a_mutant():
    listed = trials(HERE, "a1_basics", HERE.exercises("a1_basics"))
    there = {(trial.problem, trial.name) for trial in listed if trial.kind == "mutant"}
    wanted = {(problem, name) for problem, names in PUBLIC_HOLES.items() for name in names.split()}
    assert not wanted - there


def tried(exercise: Exercise) -> bool:
    return exercise.kind == "code" or has_own_answers(exercise)


@pytest.mark.parametrize("stage", STAGES)
def test_a_mutant_names_one_test_of_its_problem(stage):
    for exercise in (e for e in HERE.exercises(stage) if e.kind == "code"):
        tests = Counter(name for path in HERE.test_files(stage, exercise.id) for name in functions_in(path))
        assert not [name for name, times in tests.items() if times > 1], exercise.id
        for trial in trials(HERE, stage, (exercise,)):
            assert trial.rejected_by in (*tests, "forbidden", ""), f"{trial.problem}/{trial.name}"


@pytest.mark.parametrize("stage", STAGES)
def test_enough_wrong_and_right_solutions_stand_behind_each_problem(stage):
    listed = HERE.exercises(stage)
    behind: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for trial in trials(HERE, stage, listed):
        behind[trial.problem][trial.kind] += 1
    for exercise in filter(tried, listed):
        counts, wanted = behind[exercise.id], 8 if exercise.points >= 3 else 3
        assert counts["mutant"] >= wanted, f"{exercise.id}: {counts['mutant']} mutants, wanted {wanted}"
        assert counts["alternative"] >= 3, f"{exercise.id}: {counts['alternative']} alternatives, wanted 3"
