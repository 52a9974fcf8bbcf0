"""Small things that Faust programs import by these names."""

from uuid import uuid4

__all__ = ["uuid"]


def uuid() -> str:
    """Make a random identifier: a version 4 UUID as text."""
    return str(uuid4())
