"""The Triton class has a forward pass and no other."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_gradients_equal_the_oracles"
CHANGES = (("class KernelFlash(Flash):\n", "class KernelFlash(Flash):\n    backward = None\n"),)
