"""The problems of stage 2: the same weights on every rank."""

from shared.doors.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
