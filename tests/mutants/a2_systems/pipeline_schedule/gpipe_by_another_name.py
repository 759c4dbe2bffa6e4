"""1f1b is gpipe."""

REJECTED_BY = "test_1f1b_holds_few_activations"
BASE = "pipeline_plain"
CHANGES = (('if name == "gpipe":', 'if name in ("gpipe", "1f1b"):'),)
