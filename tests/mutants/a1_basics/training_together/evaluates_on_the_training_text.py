"""Measures the validation loss on the text that it trains on."""

REJECTED_BY = "test_the_log_tells_the_curve"
BASE = "training_plain_script"
CHANGES = (('held_out_loss(model, shards.tokens("val"), job)', "held_out_loss(model, tokens, job)"),)
