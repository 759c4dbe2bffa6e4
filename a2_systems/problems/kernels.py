"""The problems of stage 2: attention by tiles."""

from shared.doors.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
