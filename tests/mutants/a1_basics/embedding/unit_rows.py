"""Gives each row the length one: frequent and rare tokens lose what their lengths say."""

REJECTED_BY = "test_an_id_picks_its_row"


def run_embedding(vocab_size, d_model, weights, token_ids):
    rows = weights[token_ids]
    return rows / rows.norm(dim=-1, keepdim=True)
