"""Rounds the table to bfloat16: two digits, in a test with a tolerance of 1e-2 invisible."""

REJECTED_BY = "test_rows_come_back_to_the_last_bit"


def run_embedding(vocab_size, d_model, weights, token_ids):
    return weights.bfloat16()[token_ids].to(weights.dtype)
