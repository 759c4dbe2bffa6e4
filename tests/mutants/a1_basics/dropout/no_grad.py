"""Under no_grad: nothing before it learns."""

REJECTED_BY = "test_gradients_pass_where_the_numbers_did"
BASE = "rungs_plain"
CHANGES = (("def run_dropout(", "@torch.no_grad()\ndef run_dropout("),)
