"""The exact orthogonal factor: near, another function, and slow."""

REJECTED_BY = "test_each_singular_value_goes_through_the_quintic"
BASE = "rungs_plain"
CHANGES = (
    (
        "x = in_matrix / (in_matrix.norm() + 1e-20)",
        (
            "left, values, right = torch.linalg.svd(in_matrix, full_matrices=False)\n"
            "    if values.max() > 0:\n"
            "        return left @ right\n"
            "    x = in_matrix"
        ),
    ),
)
