"""The problems of stage 2: optimizer state and parameters spread over the ranks."""

from shared.doors.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
