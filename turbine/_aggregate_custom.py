"""Aggregates written in Python, a batch at a time; public in `turbine.aggregates`."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

import pyarrow as pa

from turbine import _native
from turbine._aggregate import Aggregate

Values: TypeAlias = "pa.Array[Any]"

_NAMES: Final[dict[str, list[str]]] = {}
_LOCK: Final = threading.Lock()


@dataclass(frozen=True)
class Custom(Aggregate, ABC):
    """
    Base of aggregates of your own.

    The states of many groups are the rows of one `pyarrow.RecordBatch`; every method works on all
    of them at once, so a batch costs one call, not one a row. Derive a frozen dataclass: `reads`
    names its parameters that are columns. What the methods do must depend on their arguments alone,
    and a state must be the same however its rows were divided into calls. Nulls are given as they
    are.

    A method that raises stops the partition; the error names the aggregate and the method.

    Example:
        >>> @dataclass(frozen=True)
        ... class Range(Custom):
        ...     "Greatest value minus least."
        ...     column: str
        ...
        ...     def zero(self, types):
        ...         none = pa.array([None], types[0])
        ...         return pa.record_batch({"least": none, "most": none})
        ...
        ...     def result_type(self, types):
        ...         return types[0]
        ...
        ...     def update(self, groups, columns, state):
        ...         new = pa.table({"g": groups, "v": columns[0]}).group_by("g", use_threads=False)
        ...         new = new.aggregate([("v", "min"), ("v", "max")])
        ...         new = pa.record_batch({"least": new["v_min"].combine_chunks(),
        ...                                "most": new["v_max"].combine_chunks()})
        ...         return self.merge(state, new)
        ...
        ...     def merge(self, state, other):
        ...         least = pc.min_element_wise(state["least"], other["least"])
        ...         most = pc.max_element_wise(state["most"], other["most"])
        ...         return pa.record_batch({"least": least, "most": most})
        ...
        ...     def finish(self, state):
        ...         return pc.subtract(state["most"], state["least"])
        >>> aggregate(orders, key="user", value=Range("amount").alias("range")).to_pylist()
        [{'user': 'ada', 'range': 20}, {'user': 'bob', 'range': 0}]
    """

    function: ClassVar[str] = "custom"
    can_retract: ClassVar[bool] = False
    """True if `retract` works; windows that move use it."""

    @abstractmethod
    def zero(self, types: Sequence[pa.DataType]) -> pa.RecordBatch:
        """
        Return the state without rows.

        Args:
            types: Types of the columns it reads.

        Returns:
            One row; its columns are those of every state.
        """

    @abstractmethod
    def result_type(self, types: Sequence[pa.DataType]) -> pa.DataType:
        """
        Return the type of the results.

        Args:
            types: Types of the columns it reads.

        Returns:
            The type of what `finish` returns.
        """

    @abstractmethod
    def update(
        self, groups: Values, columns: Sequence[Values], state: pa.RecordBatch
    ) -> pa.RecordBatch:
        """
        Take rows in.

        Args:
            groups: Row of *state* for each row, shape ``(n,)``, `uint32`. Every row of *state* is
                there, first appearances in ascending order.
            columns: What it reads, each of shape ``(n,)``, in the order of `reads`.
            state: States of the groups.

        Returns:
            The new states, in the same order.
        """

    @abstractmethod
    def merge(self, state: pa.RecordBatch, other: pa.RecordBatch) -> pa.RecordBatch:
        """
        Add states behind states, row by row.

        Args:
            state: What came first.
            other: What came behind it; as long.

        Returns:
            The states of both together.
        """

    @abstractmethod
    def finish(self, state: pa.RecordBatch) -> Values:
        """
        Compute the results.

        Args:
            state: States.

        Returns:
            A result each state.
        """

    def retract(
        self, groups: Values, columns: Sequence[Values], state: pa.RecordBatch
    ) -> pa.RecordBatch:
        """
        Take the oldest rows out again; only where `can_retract` is true.

        Args:
            groups: As for `update`.
            columns: As for `update`.
            state: As for `update`.

        Returns:
            The new states.
        """
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """Register it with the core, and return the name under which it is there."""
        name = self._registered_name()
        _native.register_aggregate(name, self)
        return {"name": name}

    def _registered_name(self) -> str:
        # A window keeps the name with its declaration: the same program must give the same.
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        with _LOCK:
            known = _NAMES.setdefault(kind, [])
            # As text: an expression that is compared is another expression.
            shown = repr(self)
            if shown not in known:
                known.append(shown)
            number = known.index(shown)
        return f"{kind}#{number}" if number else kind

    def _made_name(self) -> str:
        return "_".join([type(self).__name__.lower(), *map(str, self.columns())])
