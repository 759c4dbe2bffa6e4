"""Takes the inputs as targets: a loss of zero, and nothing learned but copying."""

REJECTED_BY = "test_learns_a_source_down_to_its_entropy"
BASE = "training_plain_script"
CHANGES = (("return both[:, :-1], both[:, 1:]", "return both[:, 1:], both[:, 1:]"),)
