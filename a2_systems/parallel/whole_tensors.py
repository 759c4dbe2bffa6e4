"""Torch's collectives between a tensor and its pieces, which lie in it one behind the other: nothing is copied.

They were called `..._into_tensor` and `..._tensor` before torch 2.13, which warns of the old names.
"""

import torch.distributed as dist

all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
