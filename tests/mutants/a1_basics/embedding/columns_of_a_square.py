"""Turns the table when its first dimension might be d_model: wrong as soon as it is square."""

REJECTED_BY = "test_a_square_table_is_used_by_rows"


def run_embedding(vocab_size, d_model, weights, token_ids):
    table = weights.T if weights.shape[0] == d_model else weights
    return table[token_ids]
