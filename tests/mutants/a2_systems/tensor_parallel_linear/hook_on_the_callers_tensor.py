"""The hook is on the input itself: two layers that share it sum twice."""

REJECTED_BY = "test_a_feed_forward_in_two_layers"
BASE = "tensor_parallel_functions"
CHANGES = (
    (
        "    return Spread.apply(in_features) @ weight_part.T\n",
        (
            "    if in_features.requires_grad:\n"
            "        in_features.register_hook(total)\n"
            "    return in_features @ weight_part.T\n"
        ),
    ),
)
