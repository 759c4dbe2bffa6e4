"""Always the last dimension: right in every test that asks for dim=-1."""

REJECTED_BY = "test_weights_sum_to_one_along_dim"


def run_softmax(in_features, dim):
    powers = (in_features - in_features.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)
