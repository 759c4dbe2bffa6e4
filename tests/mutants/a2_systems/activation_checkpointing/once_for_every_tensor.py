"""Runs everything again for each tensor that is asked for."""

REJECTED_BY = "test_the_function_runs_twice_and_no_more"
BASE = "checkpointing_hooks"
CHANGES = (
    (
        "        if place not in again:\n            make_again()\n",
        "        again.clear()\n        make_again()\n",
    ),
)
