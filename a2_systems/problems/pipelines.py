"""The problems of stage 2: layers on different ranks."""

from shared.doors.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
