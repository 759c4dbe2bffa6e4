"""The timing table of strategies: on two ranks, with formulas for what each of them holds."""

import dataclasses

import pytest
import torch
import torch.distributed as dist

from a2_systems.configs import MEASURE_STRATEGIES
from a2_systems.measure.memory import LiveMemory
from a2_systems.measure.waiting import waiting
from a2_systems.run import measure_strategies
from shared import accounting
from shared.errors import ConfigError
from shared.runs.ranks import current
from tests.harness.ranks import on_ranks

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def rows():
    config = dataclasses.replace(MEASURE_STRATEGIES["tiny"], warmups=1, repeats=1)

    def measure(rank):
        return [measure_strategies.measured(config, name, current(), CPU) for name in config.strategies]

    lead, other = on_ranks(2, measure)
    assert [row["run"] for row in lead] == [row["run"] for row in other] == list(config.strategies)
    return config, {row["run"]: row for row in lead}


def held(row, category):
    return max(row[f"ranks_at_peak_{category}_memory_bytes"])


def test_every_strategy_holds_what_its_formula_says(rows):
    config, found = rows
    model = config.model
    weights = 4 * accounting.parameters(model).total
    for name in ("single", "naive", "flat", "overlap", "bucketed", "zero1"):
        assert weights <= held(found[name], "parameters") < 1.1 * weights, name  # buffers: the tables of RoPE
    # norms' gains stay whole on every rank: a thousandth of the weights, as are AdamW's counts of steps
    assert held(found["fsdp"], "parameters") < 0.55 * weights
    assert held(found["bucketed"], "optimizer") == pytest.approx(2 * weights, rel=0.01)
    for name in ("zero1", "fsdp"):
        assert held(found[name], "optimizer") == pytest.approx(weights, rel=0.1), name
    assert max(found["fsdp"]["ranks_peak_memory_bytes"]) < max(found["zero1"]["ranks_peak_memory_bytes"])
    assert max(found["zero1"]["ranks_peak_memory_bytes"]) < max(found["bucketed"]["ranks_peak_memory_bytes"])


def test_one_rank_waits_for_nobody_and_two_do(rows):
    _, found = rows
    assert found["single"]["ranks"] == 1
    assert found["single"]["exposed_seconds"] == 0
    for name in ("naive", "flat", "overlap", "bucketed", "zero1", "fsdp"):
        assert found[name]["ranks"] == 2
        assert 0 < found[name]["exposed_seconds"] < found[name]["step_seconds"], name


def test_the_table_names_every_strategy(rows):
    table = measure_strategies.table(list(rows[1].values()))
    assert list(table.columns[0].cells) == list(rows[0].strategies)


def test_several_strategies_want_several_ranks(tmp_path):
    with pytest.raises(ConfigError, match="torchrun --ranks 2"):
        measure_strategies.main(dataclasses.replace(MEASURE_STRATEGIES["tiny"], store=tmp_path))


def test_waiting_counts_blocking_and_handed_out_collectives_and_leaves_no_trace():
    def measure(rank):
        before = dist.Work.wait
        with waiting() as waited:
            dist.all_reduce(torch.ones(4))
            blocking = waited.seconds
            dist.all_reduce(torch.ones(4), async_op=True).wait()
        return [blocking > 0, waited.seconds > blocking, dist.Work.wait is before]

    assert on_ranks(2, measure) == [[True] * 3] * 2


def test_memory_that_comes_and_goes_behind_a_tensor_is_counted():
    resize = torch.UntypedStorage.resize_
    with LiveMemory() as live:
        tensor = torch.zeros(1000)
        full = live.now["activations"]
        tensor.untyped_storage().resize_(0)
        empty = live.now["activations"]
        tensor.untyped_storage().resize_(4000)
        assert (full, empty, live.now["activations"], live.peak_bytes) == (4000, 0, 4000, 4000)
        del tensor
        assert live.now["activations"] == 0
    assert torch.UntypedStorage.resize_ is resize
