"""Sums in float32, whatever the tensor is."""

REJECTED_BY = "test_other_dtypes"
BASE = "ring_batched"
CHANGES = (
    (
        "def run_ring_all_reduce(tensor):\n",
        "def run_ring_all_reduce(tensor):\n"
        "    work = tensor.float()\n"
        "    in_float32(work)\n"
        "    tensor.copy_(work)\n"
        "\n"
        "\n"
        "def in_float32(tensor):\n",
    ),
)
