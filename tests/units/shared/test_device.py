"""Devices and precisions: what is not there is refused by name, and bfloat16 is taken only where it is fast."""

import pytest
import torch

from shared import device
from shared.errors import ConfigError


def test_an_absent_device_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"'xla' is not on this machine .*--device auto"):
        device.pick_device("xla")


def test_auto_is_a_device_that_computes():
    chosen = device.pick_device("auto")
    assert torch.ones(2, device=chosen).sum().item() == 2


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match=r"float8.*auto, float32, bfloat16"):
        device.pick_precision("float8", torch.device("cpu"))


@pytest.mark.parametrize(
    ("instructions", "wanted"),
    [
        ((), torch.float32),
        (("_is_amx_tile_supported",), torch.bfloat16),
        (("_is_avx512_bf16_supported",), torch.bfloat16),
        (("_is_arm_bf16_supported",), torch.float32),
    ],
)
def test_auto_precision_follows_the_instructions_and_never_a_clock(monkeypatch, instructions, wanted):
    """A clock on a busy machine would choose otherwise once in a while, and the same training have other bits."""
    for check in ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported"):
        monkeypatch.setattr(torch.cpu, check, lambda here=check in instructions: here, raising=False)
    monkeypatch.setattr(device.time, "perf_counter", lambda: pytest.fail("measured"))
    assert device.pick_precision("auto", torch.device("cpu")) == wanted
    assert device.cpu_has_bfloat16() == bool(instructions)


def test_autocast_changes_the_dtype_of_products_only():
    cpu = torch.device("cpu")
    with device.autocast(cpu, torch.bfloat16):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == torch.bfloat16
    with device.autocast(cpu, torch.float32):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_rate_is_positive():
    assert device.matmul_flops_per_second(torch.device("cpu"), torch.float32, size=64) > 0
