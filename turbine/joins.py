"""
Joins: rows of two inputs with one key, made into one row.

```python
@app.subscribe("shop", publish_to="paid", model=Entry, event_time="ts")
class Paid:
    def __init__(self):
        self.join = joins.interval(
            name="paid", left=Order, right=Payment, on="order_id", within="1h", how="left"
        )

    def process(self, batch, state):
        is_payment = pc.equal(batch["kind"], "payment")
        return self.join.update(state, batch, is_right=is_payment).rows
```

A join works in Rust, column by column. What it keeps is part of the state of the handler, and so of
its commit: it is restored, moves with its partition, and is exact under exactly-once. The rows of a
key have to be in one partition: the topic is keyed by ``on``, or read with ``repartition_by=``.
Two topics are joined by a plan: `turbine.flows.Flow.join`. `docs/guides/joins.md` is the guide.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from turbine import _native
from turbine._declare import one_of
from turbine._decoders import is_model
from turbine._window_options import columns, ms
from turbine.exceptions import DeclarationError
from turbine.naming import check_name

if TYPE_CHECKING:
    import pyarrow as pa

    from turbine.state import State

__all__ = ["How", "Join", "Joined", "asof", "interval", "tables", "with_table"]

How = Literal["inner", "left", "right", "full"]
"""Which rows without a match are given too."""

Length = float | timedelta | str
"""A number of seconds, text as ``"1h"``, or a timedelta."""


class Joined(NamedTuple):
    """
    What came of some rows.

    Attributes:
        rows: Joined rows: the key columns under their names of the left, the other columns of the
            left, those of the right, and ``_event_time``, the later one of both in ms, which never
            goes out. Columns of a side that is missing are null.
        late: Rows that came too late to be joined, with ``_late_watermark_ms``; None without any.
    """

    rows: "pa.Table"
    late: "pa.RecordBatch | None"


class Join:
    """
    A join; made by the functions of this module.

    Attributes:
        name: Name of its state, unique in the handler.
        spec: What it does, as the core reads it.
        schema: `pyarrow.Schema` of joined rows.
    """

    def __init__(
        self,
        kind: dict[str, Any],
        *,
        name: str,
        left: Any,
        right: Any,
        on: str | Sequence[str],
        right_on: str | Sequence[str] | None,
        how: str,
        suffix: str,
    ) -> None:
        self.name = check_name("join", name)
        left_on = columns("on", on)
        self.spec: dict[str, Any] = {
            "name": self.name,
            "kind": kind,
            "left_on": left_on,
            "right_on": left_on if right_on is None else columns("right_on", right_on),
            "how": one_of("how", how, ("inner", "left", "right", "full")),
            "suffix": suffix,
        }
        self._native = _native.Join(
            json.dumps(self.spec), _schema("left", left), _schema("right", right)
        )
        self.schema: pa.Schema = self._native.schema

    def update(self, state: "State | None", rows: Any, *, is_right: Any) -> Joined:
        """
        Take rows in, in the order of their partition.

        Args:
            state: The handler's ``state``: the join keeps its rows there. Without one it keeps them
                in memory, for what is not a worker.
            rows: A RecordBatch, or anything with an Arrow interface. Streams need its columns
                ``_event_time`` and ``_watermark``, as a subscription with ``event_time=`` has them.
            is_right: Whose rows they are: False for the left, True for the right, or a column with
                one or the other for each row. Then both sides have one line of time.

        Returns:
            Joined rows and late ones. Rows that wait for time to pass come with later rows.

        Raises:
            DeclarationError: The columns are not those of the declaration, or the handler has
                ``parallelism=``.
            StateError: The state cannot be read, or the batch has ended.
        """
        return self._joined(*self._native.update(state, rows, is_right))

    def advance(self, watermark_ms: int, *, is_right: bool) -> Joined:
        """
        Move the watermark of one side, in ms, where the join keeps its rows in memory.

        Returns:
            Rows that have become final.
        """
        return self._joined(*self._native.advance(is_right, watermark_ms))

    @property
    def counters(self) -> dict[str, int]:
        """What has been counted in this process, on all partitions."""
        names = ("matched_rows", "padded_rows", "late_rows", "unmatchable_rows")
        return dict(zip(names, self._native.counters, strict=True))

    def _joined(self, rows: "list[pa.RecordBatch]", late: "pa.RecordBatch | None") -> Joined:
        import pyarrow as pa

        return Joined(pa.Table.from_batches(rows, self.schema), late)

    def __repr__(self) -> str:
        return f"<Join {self.name}>"


def interval(
    *,
    name: str,
    left: Any,
    right: Any,
    on: str | Sequence[str],
    within: Length | None = None,
    before: Length | None = None,
    after: Length | None = None,
    grace: Length = 0,
    how: How = "inner",
    right_on: str | Sequence[str] | None = None,
    suffix: str = "_right",
) -> Join:
    """
    Join each row with all rows of the other stream whose time is near its own.

    Args:
        name: Name of its state, unique in the handler.
        left: Model or Arrow schema of the left.
        right: That of the right.
        on: Key column, or columns; a null in them never matches.
        within: How far the times of two rows may be apart, in both directions.
        before: How far the right may be in front of the left, if not *within*.
        after: How far it may be behind, if not *within*.
        grace: How far rows may be behind the watermark and still find all of their matches.
        how: Which rows without a match are given too. Such a row comes when nothing can match it
            any more, never besides its match.
        right_on: Key columns of the right, where they have other names.
        suffix: Behind the name of a column of the right that the left has too.

    Raises:
        DeclarationError: It contradicts itself, or nothing bounds what it would keep.
    """
    if within is not None and not (before is None and after is None):
        raise DeclarationError(
            f"within={within!r} says both directions: leave out before= and after=, or within="
        )
    kind = {
        "type": "interval",
        "before_ms": _span("before", before, within, after),
        "after_ms": _span("after", after, within, before),
        "grace_ms": ms("grace", grace, least=0),
    }
    return Join(
        kind, name=name, left=left, right=right, on=on, right_on=right_on, how=how, suffix=suffix
    )


def asof(
    *,
    name: str,
    left: Any,
    right: Any,
    on: str | Sequence[str],
    tolerance: Length | None = None,
    grace: Length = 0,
    how: Literal["inner", "left"] = "inner",
    right_on: str | Sequence[str] | None = None,
    suffix: str = "_right",
) -> Join:
    """
    Join each row of the left with the newest row of the right at or before its time.

    A row of the left is answered when the watermark has passed it by *grace*. One version of each
    key is kept besides those that may still be asked for.

    Args:
        name: As for `interval`, and so are the others.
        left: Rows that are answered.
        right: Versions, as rates or prices.
        on: Key column, or columns.
        tolerance: How old a version may be; without it, of any age.
        grace: How far rows may be behind the watermark.
        how: ``"left"`` gives rows without a version too.
        right_on: Key columns of the right.
        suffix: Behind the name of a column that both have.

    Raises:
        DeclarationError: It contradicts itself.
    """
    kind = {
        "type": "as_of",
        "tolerance_ms": None if tolerance is None else ms("tolerance", tolerance, least=0),
        "grace_ms": ms("grace", grace, least=0),
    }
    return Join(
        kind, name=name, left=left, right=right, on=on, right_on=right_on, how=how, suffix=suffix
    )


def with_table(
    *,
    name: str,
    left: Any,
    right: Any,
    on: str | Sequence[str],
    how: Literal["inner", "left"] = "inner",
    right_on: str | Sequence[str] | None = None,
    suffix: str = "_right",
) -> Join:
    """
    Join each row of the left, as it arrives, with the row that its key has on the right.

    The row that arrived last is that of its key; one with a column ``_deleted`` that is true
    removes it. Needs no event time.

    Args:
        name: As for `interval`, and so are the others.
        left: Rows of a stream.
        right: Rows of a table.
        on: Key column, or columns.
        how: ``"left"`` gives rows without a row in the table too.
        right_on: Key columns of the right.
        suffix: Behind the name of a column that both have.

    Raises:
        DeclarationError: It contradicts itself.
    """
    return Join(
        {"type": "table"},
        name=name,
        left=left,
        right=right,
        on=on,
        right_on=right_on,
        how=how,
        suffix=suffix,
    )


def tables(
    *,
    name: str,
    left: Any,
    right: Any,
    on: str | Sequence[str],
    how: How = "inner",
    right_on: str | Sequence[str] | None = None,
    suffix: str = "_right",
) -> Join:
    """
    Join two tables: each change of one gives the joined row anew.

    Joined rows have a column ``_deleted`` besides: it is true where a key is in the result no more,
    and then all columns but the key are null.

    Args:
        name: As for `interval`, and so are the others.
        left: Rows of a table, as those of the right of `with_table`.
        right: Rows of the other one.
        on: Key column, or columns.
        how: Which keys are in the result that one table alone has.
        right_on: Key columns of the right.
        suffix: Behind the name of a column that both have.

    Raises:
        DeclarationError: It contradicts itself.
    """
    return Join(
        {"type": "tables"},
        name=name,
        left=left,
        right=right,
        on=on,
        right_on=right_on,
        how=how,
        suffix=suffix,
    )


def _span(name: str, own: Length | None, both: Length | None, other: Length | None) -> int | None:
    """Read one direction; it is 0 if the other one alone is given."""
    if own is not None:
        return ms(name, own, least=0)
    if both is not None:
        return ms("within", both, least=0)
    return None if other is None else 0


def _schema(side: str, given: Any) -> "pa.Schema":
    import pyarrow as pa

    if isinstance(given, pa.Schema):
        return given
    if not is_model(given):
        raise DeclarationError(
            f"{side}={given!r} says no columns: pass the model of its rows, or a pyarrow.Schema"
        )
    from turbine.models import arrow_schema

    return arrow_schema(given)
