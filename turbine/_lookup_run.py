"""
Plans with lookups at work: the handler of their subscription, in one worker.

Steps run in the core, on whole batches. In between the distinct keys of a batch are looked for in
the cache, and asked for once each, whichever batches of the worker want them at the same time.

Guarantees:

* Rows keep their order, and none is lost: it goes out, or it is named as bad.
* At most `Lookup.concurrency` calls run at once; nobody waits for a call twice.
* A failure is never remembered; absence is.
"""

import asyncio
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from turbine._flow_plan import FlowPlan, run_steps
from turbine._handlers import RowsFailed
from turbine._lookup import Lookup
from turbine._lookup_cache import UNKNOWN, Cache

if TYPE_CHECKING:
    from turbine._native import Worker
    from turbine.app import App

__all__ = ["LookedUp"]

_ROW = "_row"
"""Column with the number of a row in its batch, so that a bad one can be named behind the steps."""


class LookedUp:
    """The function of a subscription whose plan has lookups."""

    def __init__(self, plan: FlowPlan, app: "App", name: str) -> None:
        self._plan = plan
        self._app = app
        self.__name__ = name
        self._askers = [_Asker(one, app, f"{name}-{one.name}") for one in plan.lookups]

    def anew(self) -> "LookedUp":
        """Give the same without memory, for another worker."""
        return LookedUp(self._plan, self._app, self.__name__)

    def bind(self, native: "Worker") -> None:
        """Let the worker count what is asked."""
        for asker in self._askers:
            asker.native = native

    async def __call__(self, batch: Any) -> Any:
        """
        Take a batch through steps and lookups.

        Raises:
            RowsFailed: Keys of some rows could not be looked up; the others went through.
        """
        bad: dict[int, str] = {}
        is_strict = self._plan.is_strict
        rows = run_steps(self._plan.before, _numbered(batch), is_strict=is_strict)
        for asker in self._askers:
            rows = await asker.join(rows, bad)
            rows = run_steps(asker.lookup.after, rows, is_strict=is_strict)
        rows = rows.drop_columns([_ROW])
        if bad:
            raise RowsFailed(sorted(bad.items()), rows)
        return rows


def _numbered(batch: Any) -> Any:
    import pyarrow as pa

    # The mark of columns that a line adds: steps let them through.
    one = pa.field(_ROW, pa.int64(), metadata={"turbine.metadata": "row"})
    return batch.append_column(one, pa.array(range(batch.num_rows), pa.int64()))


@dataclass
class _Flight:
    """A call that somebody waits for."""

    task: "asyncio.Task[Any]"
    waiting: int = 0


@dataclass
class _Tally:
    """What a batch has asked."""

    hits: int = 0
    misses: int = 0
    errors: int = 0
    seconds: list[float] = field(default_factory=list)


class _Failed(Exception):  # noqa: N818 - never leaves this module
    """Every try has failed; the message says how."""


class _Asker:
    """One lookup of one worker: its cache, and the calls under way."""

    def __init__(self, lookup: Lookup, app: "App", label: str) -> None:
        self.lookup = lookup
        self.native: Worker | None = None
        self._label = label
        self._clock = app.clock
        self._cache = Cache(lookup.cache_size, lookup.ttl_s, lookup.ttl_of_none_s)
        self._flights: dict[Hashable, _Flight] = {}
        self._room = asyncio.Semaphore(lookup.concurrency)
        self._tally = _Tally()

    async def join(self, rows: Any, bad: dict[int, str]) -> Any:
        """Add the columns; the numbers of rows whose key failed go to *bad*, the others go on."""
        import pyarrow as pa
        import pyarrow.compute as pc

        codes, keys = _keys(rows, self.lookup.by)
        answers = await self._answers(keys)
        failed = [n for n, one in enumerate(answers) if isinstance(one, _Failed)]
        if failed:
            is_bad = pc.is_in(codes, pa.array(failed, codes.type))
            numbers = rows.filter(is_bad).column(_ROW).to_pylist()
            reasons = codes.filter(is_bad).to_pylist()
            for number, code in zip(numbers, reasons, strict=True):
                bad.setdefault(number, str(answers[code]))
            keep = pc.invert(is_bad)
            rows, codes = rows.filter(keep), codes.filter(keep)
        return self._joined(rows, codes, answers)

    def _joined(self, rows: Any, codes: Any, answers: list[Any]) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        lookup = self.lookup
        known = [one for one in answers if isinstance(one, dict)]
        places = iter(range(len(known)))
        at = [next(places) if isinstance(one, dict) else None for one in answers]
        taken = pc.take(pa.array(at, pa.int64()), codes)
        if lookup.is_inner:
            keep = pc.is_valid(taken)
            rows, taken = rows.filter(keep), taken.filter(keep)
        found = pa.RecordBatch.from_pylist(known, schema=lookup.columns)
        for name, kind, column in zip(lookup.added, lookup.columns, found.columns, strict=True):
            rows = rows.append_column(pa.field(name, kind.type), column.take(taken))
        return rows

    async def _answers(self, keys: list[Any]) -> list[Any]:
        """What is known of each of *keys*: a dict, None, or how it failed."""
        now_s = self._clock.monotonic()
        found = [self._cache.get(key, now_s) for key in keys]
        missing = [n for n, one in enumerate(found) if one is UNKNOWN]
        self._tally.hits += len(keys) - len(missing)
        self._tally.misses += len(missing)
        for n, answer in zip(missing, await self._ask([keys[n] for n in missing]), strict=True):
            found[n] = answer
        tally, self._tally = self._tally, _Tally()
        if self.native is not None:
            counts = (tally.hits, tally.misses, tally.errors)
            self.native.note_lookups(self._label, *counts, tally.seconds)
        return found

    async def _ask(self, keys: Iterable[Any]) -> list[Any]:
        flights = {key: self._flight(key) for key in keys}
        for flight in flights.values():
            flight.waiting += 1
        try:
            if flights:
                await asyncio.wait([flight.task for flight in flights.values()])
        finally:
            for key, flight in flights.items():
                self._leave(key, flight)
        return [_outcome(flight.task) for flight in flights.values()]

    def _flight(self, key: Any) -> _Flight:
        flight = self._flights.get(key)
        if flight is None:
            task = asyncio.create_task(self._call(key), name=f"{self._label} {key!r}")
            flight = self._flights[key] = _Flight(task)
        return flight

    def _leave(self, key: Any, flight: _Flight) -> None:
        flight.waiting -= 1
        if not flight.waiting:
            flight.task.cancel()
            if self._flights.get(key) is flight:
                del self._flights[key]

    async def _call(self, key: Any) -> Any:
        """Ask until there is an answer, or the last try has failed."""
        retry, tries = self.lookup.retry, 0
        while True:
            tries += 1
            try:
                answer = await self._try(key)
            except Exception as exc:  # noqa: BLE001 - whatever it is, rows are not lost for it
                self._tally.errors += 1
                if tries <= retry.times:
                    await asyncio.sleep(retry.wait_s(tries))
                    continue
                if self.lookup.nulls_on_error:
                    return None
                said = ", ".join(map(repr, key))
                word = "try" if tries == 1 else "tries"
                return _Failed(
                    f"{self.lookup.name}({said}) failed after {tries} {word}: "
                    f"{type(exc).__name__}: {exc}"
                )
            self._cache.put(key, answer, self._clock.monotonic())
            return answer

    async def _try(self, key: Any) -> Any:
        async with self._room:
            began_s = self._clock.monotonic()
            try:
                async with asyncio.timeout(self.lookup.timeout_s):
                    answer = await self.lookup.fn(*key)
            except TimeoutError as exc:
                if str(exc) or self.lookup.timeout_s is None:
                    raise
                raise TimeoutError(f"no answer in {self.lookup.timeout_s} s") from None
            finally:
                self._tally.seconds.append(self._clock.monotonic() - began_s)
        return _row_of(self.lookup, answer)


def _outcome(task: "asyncio.Task[Any]") -> Any:
    if task.cancelled():
        return _Failed("the function was cancelled")
    return task.result()


def _row_of(lookup: Lookup, answer: Any) -> dict[str, Any] | None:
    """
    Check what the function returned.

    Raises:
        TypeError: It is neither a model nor a mapping, or a value does not fit its column.
    """
    import pyarrow as pa
    import pydantic

    if answer is None:
        return None
    if isinstance(answer, pydantic.BaseModel):
        answer = answer.model_dump()
    elif lookup.model is not None:
        answer = lookup.model.model_validate(answer).model_dump()
    if not isinstance(answer, dict):
        raise TypeError(
            f"it returned {type(answer).__name__}: return {_wanted(lookup)}, a dict or None"
        )
    row = {name: answer.get(name) for name in lookup.columns.names}
    try:
        pa.RecordBatch.from_pylist([row], schema=lookup.columns)
    except (pa.ArrowException, TypeError) as exc:
        raise TypeError(f"what it returned does not fit its columns: {exc}") from None
    return row


def _wanted(lookup: Lookup) -> str:
    return "a model" if lookup.model is None else f"a {lookup.model.__name__}"


def _keys(rows: Any, by: tuple[str, ...]) -> tuple[Any, list[Any]]:
    """The number of the key of each row, null where a part of it is; and the keys, as tuples."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [rows.column(name).dictionary_encode() for name in by]
    values = [one.dictionary.to_pylist() for one in columns]
    codes = columns[0].indices.cast(pa.int64())
    for one in columns[1:]:
        size = pa.scalar(max(1, len(one.dictionary)), pa.int64())
        codes = pc.add(pc.multiply(codes, size), one.indices.cast(pa.int64()))
    distinct = codes.dictionary_encode()
    keys = []
    for code in distinct.dictionary.to_pylist():
        parts, rest = [], code
        for known in reversed(values):
            rest, part = divmod(rest, max(1, len(known)))
            parts.append(known[part])
        keys.append(tuple(reversed(parts)))
    return distinct.indices, keys
