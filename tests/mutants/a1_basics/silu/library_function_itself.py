"""Hands the library's function out as its own: nothing calls it from here, and nothing was built."""

import torch

REJECTED_BY = "forbidden"

run_silu = torch.nn.functional.silu
