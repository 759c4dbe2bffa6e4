"""Gives no gradient at all unless Q wants one."""

BASE = "flash_queries_outside"
REJECTED_BY = "test_only_the_inputs_that_want_a_gradient"
CHANGES = (
    (
        "        return *slopes(",
        "        if not ctx.needs_input_grad[0]:\n            return None, None, None, None\n        return *slopes(",
    ),
)
