"""Hands out the torch class where the Triton one is asked for."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_a_kernel_is_launched_and_does_the_work"
CHANGES = (("    return KernelFlash\n", "    return Flash\n"),)
