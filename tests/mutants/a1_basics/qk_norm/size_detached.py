"""The right scores, and a gradient that does not know of the sizes."""

REJECTED_BY = "test_gradients_equal_the_oracles_slope"
BASE = "rungs_plain"
CHANGES = (
    (
        "torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps) * gain",
        "torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps).detach() * gain",
    ),
)
