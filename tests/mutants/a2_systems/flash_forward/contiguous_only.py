"""Inputs are taken for contiguous: memory is read in order, whatever the strides say."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_any_strides"
CHANGES = (
    (
        "(part.flatten(0, -3) for",
        "(part.as_strided(part.shape, torch.empty(part.shape).stride()).flatten(0, -3) for",
    ),
)
