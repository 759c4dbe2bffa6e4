"""The part of the weight is taken as a constant."""

REJECTED_BY = "test_a_column_part_is_a_part_of_the_output"
BASE = "tensor_parallel_functions"
CHANGES = (
    ("Spread.apply(in_features) @ weight_part.T", "Spread.apply(in_features) @ weight_part.detach().T"),
)
