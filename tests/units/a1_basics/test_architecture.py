"""The document's shapes are those of the code, and the probe sees what attention computes."""

from pathlib import Path

import torch

from a1_basics.configs import TRAIN_LM
from a1_basics.model.attention import causal_attention
from a1_basics.model.probe import AttentionProbe, largest_change_before
from a1_basics.model.transformer import TransformerLM
from a1_basics.run.architecture import BEGIN, END, shape_table
from shared import accounting
from shared.doors.protocols import ModelConfig
from shared.runs.config import preset

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ModelConfig(64, context_length=10, d_model=16, num_layers=2, num_heads=4, d_ff=32, num_kv_heads=2)
TOKENS = torch.randint(64, (2, 10), generator=torch.Generator().manual_seed(0))


def test_the_shape_table_is_that_of_the_code():
    """Golden: made by `python -m a1_basics.run.architecture`."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    written = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert written == shape_table(preset(TRAIN_LM, "one_gpu").model)


def test_the_table_counts_every_parameter():
    model = preset(TRAIN_LM, "a1").model
    cells = [
        line.split("|")[-2].strip() for line in shape_table(model).splitlines() if line.startswith("| `")
    ]
    outside = [
        line for line in shape_table(model).splitlines() if line.startswith("| `") and "layers" not in line
    ]
    in_all = [int(cell.replace(",", "")) for cell in cells if cell[0].isdigit()]
    outer = [
        int(line.split("|")[-2].replace(",", ""))
        for line in outside
        if line.split("|")[-2].strip()[0].isdigit()
    ]
    total = sum(outer) + model.num_layers * (sum(in_all) - sum(outer))
    assert total == accounting.parameters(model).total


def test_the_probe_changes_nothing_and_its_maps_are_distributions_over_the_past():
    torch.manual_seed(0)
    model, probe = TransformerLM(CONFIG), AttentionProbe()
    with torch.no_grad():
        assert torch.equal(model(TOKENS, attend=probe), model(TOKENS, attend=causal_attention))
    assert sorted(probe.maps) == [0, 1]
    for weights in probe.maps.values():
        assert weights.shape == (2, 4, 10, 10)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 10))
        assert torch.equal(weights, weights.tril())  # exactly nothing from the future


def test_a_model_that_looks_ahead_is_found_out():
    torch.manual_seed(0)
    model = TransformerLM(CONFIG)
    assert largest_change_before(model, TOKENS) == 0.0

    def everything(layer, queries, keys, values):
        return torch.nn.functional.scaled_dot_product_attention(
            queries, keys.repeat(1, 2, 1, 1), values.repeat(1, 2, 1, 1)
        )

    class Leaky(torch.nn.Module):
        def forward(self, token_ids):
            return model(token_ids, attend=everything)

    assert largest_change_before(Leaky(), TOKENS) > 1e-3


def test_gpt2_124m_is_gpt2_sized():
    job = preset(TRAIN_LM, "gpt2_124m")
    count = accounting.parameters(job.model)
    assert 123e6 < count.total < 125e6
    assert job.batch_size % job.microbatches == 0
    assert 9.9e9 < job.steps * job.batch_size * job.model.context_length < 10.1e9
