"""Every rank receives all terms and adds them up: N times the bytes."""

REJECTED_BY = "test_a_row_part_gives_the_whole_output"
BASE = "tensor_parallel_functions"
CHANGES = (
    (
        "    dist.all_reduce(tensor)\n    return tensor\n",
        (
            "    terms = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]\n"
            "    dist.all_gather(terms, tensor)\n"
            "    return sum(terms)\n"
        ),
    ),
)
