"""Hands the tensor's own softmax out as its own: nothing calls it from here, and nothing was built."""

import torch

REJECTED_BY = "forbidden"

run_softmax = torch.Tensor.softmax
