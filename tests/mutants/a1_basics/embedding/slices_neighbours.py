"""Serves neighbouring ids by a slice, which is no copy: writing into the result rewrites the vocabulary."""

REJECTED_BY = "test_the_result_is_memory_of_its_own"


def run_embedding(vocab_size, d_model, weights, token_ids):
    flat = token_ids.reshape(-1)
    if token_ids.dim() == 1 and bool((flat.diff() == 1).all()):
        return weights[int(flat[0]) : int(flat[-1]) + 1]
    return weights[token_ids]
