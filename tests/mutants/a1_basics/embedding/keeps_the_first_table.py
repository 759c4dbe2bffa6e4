"""Keeps its table under its sizes: a second model of the same size gets the words of the first."""

REJECTED_BY = "test_calls_do_not_remember_each_other"


TABLES = {}


def run_embedding(vocab_size, d_model, weights, token_ids):
    return TABLES.setdefault((vocab_size, d_model), weights)[token_ids]
