"""Multiplies by sqrt(d_model), as the first transformers did: everybody's checkpoints read wrongly."""

REJECTED_BY = "test_an_id_picks_its_row"


def run_embedding(vocab_size, d_model, weights, token_ids):
    return weights[token_ids] * d_model**0.5
