"""Returns the library's norm: right, and nothing was built."""

REJECTED_BY = "forbidden"
BASE = "rungs_plain"
CHANGES = (
    (
        "return (normed * weights + biases).to(in_features.dtype)",
        "return torch.nn.functional.layer_norm(in_features, (d_model,), weights, biases, eps)",
    ),
)
