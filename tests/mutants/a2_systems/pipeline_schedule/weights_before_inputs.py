"""The gradient of the weights before that of the inputs, which it is made of."""

REJECTED_BY = "test_no_rank_waits_for_ever"
BASE = "pipeline_plain"
CHANGES = (
    (
        (
            '            steps.append(("I", rank, i))\n'
            "            if i >= rank:\n"
            '                steps.append(("W", rank, i - rank))\n'
        ),
        (
            "            if i >= rank:\n"
            '                steps.append(("W", rank, i - rank))\n'
            '            steps.append(("I", rank, i))\n'
        ),
    ),
)
