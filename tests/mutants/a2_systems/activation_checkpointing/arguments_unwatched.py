"""Keeps the arguments where autograd cannot see that one is overwritten."""

REJECTED_BY = "test_an_overwritten_argument_is_noticed"
BASE = "checkpointing_function"
CHANGES = (
    ("ctx.save_for_backward(*[args[i] for i in ctx.places])", "ctx.kept = [args[i] for i in ctx.places]"),
    ("ctx.saved_tensors", "ctx.kept"),
)
