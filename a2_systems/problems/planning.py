"""The problems of stage 2: which layout fits which machine."""

from shared.doors.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
