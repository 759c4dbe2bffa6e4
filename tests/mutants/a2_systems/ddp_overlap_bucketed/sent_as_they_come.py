"""Sends in the order in which gradients come, which is another on another rank."""

REJECTED_BY = "test_parameters_that_a_batch_does_not_use"
BASE = "replicas_flag_rides_along"
CHANGES = (
    (
        "    while wrapper.waiting and wrapper.fresh.issuperset(wrapper.waiting[0]):\n        leave(wrapper)",
        "    for ready in [each for each in wrapper.waiting if wrapper.fresh.issuperset(each)]:\n"
        "        wrapper.waiting = deque([ready, *[each for each in wrapper.waiting if each is not ready]])\n"
        "        leave(wrapper)",
    ),
)
