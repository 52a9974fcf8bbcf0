"""Dates of ISO 8601."""

from datetime import datetime

__all__ = ["parse"]


def parse(text: str) -> datetime:
    """
    Read a date and time of ISO 8601.

    Args:
        text: As in ``2026-03-01T12:30:00.25+01:00``; without an offset the result is naive.

    Raises:
        ValueError: It is something else.
    """
    return datetime.fromisoformat(text)
