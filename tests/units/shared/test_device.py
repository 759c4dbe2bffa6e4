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


def test_auto_precision_never_measures_what_the_cpu_emulates(monkeypatch):
    device.bfloat16_is_fast.cache_clear()
    monkeypatch.setattr(device, "cpu_has_bfloat16", lambda: False)
    monkeypatch.setattr(device, "matmul_flops_per_second", lambda *_: pytest.fail("measured an emulation"))
    assert device.pick_precision("auto", torch.device("cpu")) == torch.float32
    device.bfloat16_is_fast.cache_clear()


@pytest.mark.parametrize(("ratio", "wanted"), [(1.1, torch.float32), (3.0, torch.bfloat16)])
def test_auto_precision_follows_the_measured_ratio(monkeypatch, ratio, wanted):
    device.bfloat16_is_fast.cache_clear()
    monkeypatch.setattr(device, "cpu_has_bfloat16", lambda: True)
    rates = {torch.bfloat16: ratio, torch.float32: 1.0}
    monkeypatch.setattr(device, "matmul_flops_per_second", lambda _, dtype: rates[dtype])
    assert device.pick_precision("auto", torch.device("cpu")) == wanted
    device.bfloat16_is_fast.cache_clear()


def test_autocast_changes_the_dtype_of_products_only():
    cpu = torch.device("cpu")
    with device.autocast(cpu, torch.bfloat16):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == torch.bfloat16
    with device.autocast(cpu, torch.float32):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_rate_is_positive():
    assert device.matmul_flops_per_second(torch.device("cpu"), torch.float32, size=64) > 0
