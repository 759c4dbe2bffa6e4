"""Returns x: the model has no sense of order, and every law but the definition still holds."""

REJECTED_BY = "test_one_pair_turns_by_its_position"


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    return in_query_or_key.clone()
