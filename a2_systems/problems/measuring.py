"""The problems of stage 2: how fast, how much memory, how exact."""

from shared.doors.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
