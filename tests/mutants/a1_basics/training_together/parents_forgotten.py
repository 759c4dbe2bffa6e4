"""Publishes without parents: nothing says which data and which tokenizer made the model."""

REJECTED_BY = "test_publishes_a_checkpoint_and_its_log"
BASE = "training_plain_script"
CHANGES = (('parents = {"shards": source.digest, "tokenizer": source.parents["tokenizer"]}', "parents = {}"),)
