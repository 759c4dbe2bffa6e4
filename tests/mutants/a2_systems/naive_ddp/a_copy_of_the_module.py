"""Wraps a copy: the module that the caller holds is never trained."""

REJECTED_BY = "test_every_rank_begins_as_rank_zero"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "class Naive(nn.Module):\n"
        "    def __init__(self, module):\n"
        "        super().__init__()\n"
        "        self.module = module",
        "class Naive(nn.Module):\n"
        "    def __init__(self, module):\n"
        "        super().__init__()\n"
        "        module = __import__('copy').deepcopy(module)\n"
        "        self.module = module",
    ),
)
