"""Every rank gets all outputs, which nobody asked for."""

REJECTED_BY = "test_a_column_part_is_a_part_of_the_output"
BASE = "tensor_parallel_functions"
CHANGES = (
    (
        "    return Spread.apply(in_features) @ weight_part.T\n",
        (
            "    mine = (Spread.apply(in_features) @ weight_part.T).contiguous()\n"
            "    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]\n"
            "    dist.all_gather(parts, mine.detach())\n"
            "    parts[dist.get_rank()] = mine\n"
            "    return torch.cat(parts, dim=-1)\n"
        ),
    ),
)
