"""Just calls the function: right numbers, everything kept."""

REJECTED_BY = "test_the_inside_is_gone_after_the_forward_pass"


def run_checkpointed(function, *args):
    return function(*args)
