"""What is not ready at the end of backward is never sent."""

REJECTED_BY = "test_parameters_that_a_batch_does_not_use"
BASE = "replicas_flag_rides_along"
CHANGES = (
    (
        "    while wrapper.waiting:\n        leave(wrapper)\n    for members",
        "    wrapper.waiting.clear()\n    for members",
    ),
)
