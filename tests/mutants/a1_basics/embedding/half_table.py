"""Rounds the table to float16 and back."""

REJECTED_BY = "test_rows_come_back_to_the_last_bit"


def run_embedding(vocab_size, d_model, weights, token_ids):
    return weights.half()[token_ids].to(weights.dtype)
