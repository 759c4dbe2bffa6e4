"""FlashAttention under test: its two classes, inputs of a few tiles, and what the oracle makes of them."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from tests.oracles import flash as oracle

# Compiled on a GPU; elsewhere in Triton's interpreter, on the CPU.
DEVICES = {"pytorch": "cpu", "triton": "cuda" if torch.cuda.is_available() else "cpu"}
TRITON = pytest.mark.skipif(find_spec("triton") is None, reason="not checked: Triton is not installed here")
KINDS = pytest.mark.parametrize("kind", ["pytorch", pytest.param("triton", marks=TRITON)])
CAUSAL = pytest.mark.parametrize("is_causal", [False, True], ids=["all", "causal"])

# float32 with float32 accumulators: scores of size 5 round by 1e-6, their exponential passes that on as a relative
# error, and the rescaling of a few tiles adds as much. Wrong laws are off by 1e-2 and more. A GPU multiplies float32
# as TF32 unless told otherwise, with 10 bits: scores off by 5e-3.
ATOL = {"pytorch": 3e-5, "triton": 2e-2 if torch.cuda.is_available() else 3e-5}

# Triton's interpreter keeps bfloat16 as whole numbers and multiplies these: there, half precision is float16.
HALF = {"pytorch": torch.bfloat16, "triton": torch.bfloat16 if torch.cuda.is_available() else torch.float16}


def flash(adapters, kind):
    """The class under test."""
    return getattr(adapters, f"get_flashattention_autograd_function_{kind}")()


def numbers(*shape, kind="pytorch", seed=0, size=1.0, dtype=torch.float32):
    """Normal numbers where the class computes."""
    drawn = size * np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(drawn.astype(np.float32)).to(DEVICES[kind], dtype)


def qkv(lead, q_len, k_len, d, *, kind="pytorch", seed=0, dtype=torch.float32):
    """Queries, keys and values, queries a little larger so that attention is far from an average."""
    parts = ((q_len, 2.0), (k_len, 1.0), (k_len, 1.0))
    return [
        numbers(*lead, length, d, kind=kind, seed=10 * seed + i, size=size, dtype=dtype)
        for i, (length, size) in enumerate(parts)
    ]


def arrays(*tensors):
    """The same numbers for the oracle."""
    return [tensor.detach().double().cpu().numpy() for tensor in tensors]


def applied(function, tensors, *flags):
    """The class applied to copies that want gradients, as in a training step: the copies, and the result."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    return leaves, function.apply(*leaves, *flags)


def want(tensors, is_causal=False):
    """What the oracle gives: out, logsumexp and weights."""
    return oracle.attended(*arrays(*tensors), is_causal)
