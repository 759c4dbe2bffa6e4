"""The sum hangs on a gradient that the first layer's input does not have."""

REJECTED_BY = "test_an_input_without_gradient_trains_its_weights"
BASE = "tensor_parallel_functions"
CHANGES = (
    (
        "    return Spread.apply(in_features) @ weight_part.T\n",
        (
            "    own = in_features.view_as(in_features)\n"
            "    own.register_hook(total)\n"
            "    return own @ weight_part.T\n"
        ),
    ),
)
