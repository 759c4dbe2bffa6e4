"""Takes exactly (batch, seq): a single prompt fails."""

REJECTED_BY = "test_ids_of_any_shape"


def run_embedding(vocab_size, d_model, weights, token_ids):
    batch, seq = token_ids.shape
    return weights[token_ids.reshape(-1)].reshape(batch, seq, d_model)
