"""The problems of stage 2, in the order of HANDOUT.md: the one source of their metadata.

The problems themselves stand in `problems/`, a file for each topic.
"""

from a2_systems.problems import data_parallel, kernels, measuring, pipelines, planning, sharding
from shared.doors.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    *measuring.EXERCISES,
    *kernels.EXERCISES,
    *data_parallel.EXERCISES,
    *sharding.EXERCISES,
    *pipelines.EXERCISES,
    *planning.EXERCISES,
)

HOOKS: dict[str, tuple[str, ...]] = {
    "attention_kernel": ("flash_forward", "flash_backward"),
    "parallelize": ("ddp_overlap_bucketed", "optimizer_state_sharding", "fsdp"),
}
"""Which problems must pass before a learner's own hook of the door is used instead of the reference's."""
