"""Takes exponentials as they are: infinity over infinity from a score of 89 on."""

REJECTED_BY = "test_a_shift_of_all_scores_changes_nothing"


def run_softmax(in_features, dim):
    powers = in_features.exp()
    return powers / powers.sum(dim, keepdim=True)
