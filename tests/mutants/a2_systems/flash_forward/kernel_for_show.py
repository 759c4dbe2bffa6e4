"""Launches the kernel, and gives back what torch computed."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_a_kernel_is_launched_and_does_the_work"
CHANGES = (
    (
        "        IS_CAUSAL=is_causal,\n    )\n    return out, logsumexp",
        "        IS_CAUSAL=is_causal,\n    )\n    return by_tiles(Q, K, V, is_causal)",
    ),
)
