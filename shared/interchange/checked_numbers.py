"""Numbers of a `config.json` that came from elsewhere: there, of the right type, and in range."""

from collections.abc import Mapping
from typing import Any

from shared.errors import DataError


def count(record: Mapping[str, Any], key: str) -> int:
    """Raises: DataError: it is missing, or no whole number of at least 1."""
    value = record.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DataError(f"config.json has {key}={value!r}; wanted a whole number of at least 1")
    return value


def positive(record: Mapping[str, Any], key: str) -> float:
    """Raises: DataError: it is missing, or no positive number."""
    value = record.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise DataError(f"config.json has {key}={value!r}; wanted a positive number")
    return float(value)
