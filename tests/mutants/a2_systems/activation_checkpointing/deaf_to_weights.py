"""No stand-in: where no argument needs a gradient, nothing learns."""

REJECTED_BY = "test_weights_learn_when_no_argument_needs_a_gradient"
BASE = "checkpointing_function"
CHANGES = (("torch.zeros((), requires_grad=True)", "None"),)
