"""Hands the work to torch's fused attention: right, and nothing was built."""

import torch.nn.functional as F

REJECTED_BY = "forbidden"


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=mask)
