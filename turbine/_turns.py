"""Which rows an agent has in its hands: what it writes now belongs to them."""

from contextvars import ContextVar
from typing import Any

__all__ = ["TURN"]

TURN: ContextVar[Any] = ContextVar("turbine_turn", default=None)
"""The core's `Turn`; None outside of a stream, and in apps that keep no state for agents."""
