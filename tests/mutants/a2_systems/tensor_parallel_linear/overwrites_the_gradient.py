"""Makes the gradients of all ranks one, in place."""

REJECTED_BY = "test_what_is_given_stays_as_it_was"
BASE = "tensor_parallel_functions"
CHANGES = (
    (
        "        return gradient\n",
        "        dist.all_reduce(gradient)\n        return gradient / dist.get_world_size()\n",
    ),
)
