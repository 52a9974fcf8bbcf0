"""
The lookup of a `turbine.flows.Flow`: columns that an async function knows for a key.

Here is what is declared and checked; `turbine._lookup_run` asks the function.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, cast

from turbine import _declare
from turbine._decoders import is_model
from turbine._flow_plan import Node, Step, columns_of
from turbine._window_options import columns as names_of
from turbine._window_options import ms
from turbine.exceptions import DeclarationError
from turbine.naming import function_name
from turbine.policies import Retry

if TYPE_CHECKING:
    from turbine.flows import Flow

__all__ = ["Length", "Lookup", "LookupMethods"]

Length: TypeAlias = float | timedelta | str
"""Seconds, a `timedelta`, or text as ``"5m"``."""


_MOST_KEYS = 4
"""Key columns whose numbers in a batch are one number together."""


@dataclass(frozen=True)
class Lookup:
    """
    A lookup as it is declared.

    Attributes:
        fn: The function: a key, or several, to a model, a mapping or None.
        name: What it is called.
        by: Key columns, in the order of its arguments.
        model: Model of what it returns, if there is one.
        columns: Arrow schema of the columns that it gives, as it names them.
        added: What they are called in the rows.
        is_inner: Whether rows without an answer are left out.
        cache_size: Most keys that are remembered.
        ttl_s: How long an answer is remembered; None: until there is no room.
        ttl_of_none_s: The same of absence.
        concurrency: Most calls at once.
        timeout_s: When a call is given up; None: never.
        retry: New tries.
        nulls_on_error: Whether a key that failed to the end is one without an answer.
        after: Steps behind it.
    """

    fn: Callable[..., Awaitable[Any]]
    name: str
    by: tuple[str, ...]
    model: Any
    columns: Any
    added: tuple[str, ...]
    is_inner: bool
    cache_size: int
    ttl_s: float | None
    ttl_of_none_s: float | None
    concurrency: int
    timeout_s: float | None
    retry: Retry
    nulls_on_error: bool
    after: tuple[Step, ...] = ()


class LookupMethods:
    """The method of a flow that asks a function."""

    def lookup(
        self,
        fn: Callable[..., Awaitable[Any]],
        *,
        by: str | Sequence[str],
        model: Any = None,
        columns: Mapping[str, Any] | None = None,
        how: Literal["inner", "left"] = "left",
        cache_size: int = 10_000,
        ttl: Length | None = "1m",
        ttl_of_none: Length | None = None,
        concurrency: int = 16,
        timeout: Length | None = "10s",
        retry: Retry | None = None,
        on_error: Literal["null"] | None = None,
        suffix: str = "_right",
    ) -> Self:
        """
        Add columns that an async function knows: ``lookup(fetch, by="customer", model=Customer)``.

        The function is called once for each key that is not in the cache, of several batches
        together; rows keep their order, and a batch waits for all of its keys. A null key is never
        asked for. Exactly-once is about what is written: after a crash the function is asked again.

        Args:
            fn: ``async def fetch(key)``, with as many arguments as *by* has columns; it returns a
                *model*, a mapping, or None where there is nothing.
            by: Key column, or columns.
            model: Model of what it returns.
            columns: Arrow types by column name instead.
            how: ``"left"`` gives rows without an answer nulls, ``"inner"`` leaves them out.
            cache_size: Most keys that a worker remembers; 0: none.
            ttl: How long an answer is remembered, by the worker's clock; None: until others need
                the room.
            ttl_of_none: The same where the function has returned None; *ttl* if None.
            concurrency: Most calls at once, in a worker.
            timeout: When a call has failed; None: never.
            retry: New tries of a call that failed, ``Retry(3, 0.1)`` if None.
            on_error: ``"null"``: a key for which every try failed has nulls, this time. None: what
                ``to(on_error=...)`` says of its rows: stop in front of them, leave them out, or
                write their records to the topic for dead letters.
            suffix: Behind the name of a column that the rows have already.

        Raises:
            DeclarationError: It cannot work.
        """
        flow = cast("Flow", self)
        _check_place(flow)
        name = function_name(_checked(fn), qualified=False)
        keys = names_of("by", by)
        missing = [one for one in keys if one not in flow.schema.names]
        if missing or not keys:
            raise DeclarationError(
                f"lookup(by={by!r}): name columns that are there: {', '.join(flow.schema.names)}"
            )
        _check_keys(flow.schema, keys)
        given, added, schema = _columns(flow.schema, keys, model, columns, suffix)
        one = Lookup(
            fn=fn,
            name=name,
            by=keys,
            model=model,
            columns=given,
            added=added,
            is_inner=_declare.one_of("how", how, ("inner", "left")) == "inner",
            cache_size=_declare.whole_number("cache_size", cache_size, least=0),
            ttl_s=_seconds("ttl", ttl),
            ttl_of_none_s=_seconds("ttl_of_none", ttl if ttl_of_none is None else ttl_of_none),
            concurrency=_declare.whole_number("concurrency", concurrency, least=1),
            timeout_s=_seconds("timeout", timeout),
            retry=_retry(retry),
            nulls_on_error=_nulls(on_error, how),
        )
        node = Node("lookup", _said(one))
        origins = {**flow.origins, **dict.fromkeys(added)}
        lookups = (*flow.lookups, one)
        return cast("Self", flow.with_node(node, schema=schema, _lookups=lookups, _origins=origins))


def with_step(lookups: tuple[Lookup, ...], step: Step) -> tuple[Lookup, ...]:
    """Put a step behind the last of *lookups*."""
    last = lookups[-1]
    return (*lookups[:-1], dataclasses.replace(last, after=(*last.after, step)))


def _check_place(flow: "Flow") -> None:
    if flow.group is not None or flow.is_joined:
        raise DeclarationError(
            "lookup() takes rows of a topic, and these are grouped or joined already: write "
            ".through('topic') in front of it"
        )
    if flow.is_table:
        raise DeclarationError("lookup() stands behind as_table(): write it in front of it")


def _checked(fn: Any) -> Any:
    import inspect

    if not callable(fn) or not _declare.is_kind(fn, inspect.iscoroutinefunction):
        raise DeclarationError(
            f"lookup({fn!r}) needs an async function, 'async def fetch(key)': others are called "
            "inside of one by 'await asyncio.to_thread(fn, key)'"
        )
    return fn


def _check_keys(schema: Any, keys: tuple[str, ...]) -> None:
    import pyarrow as pa

    nested = [name for name in keys if pa.types.is_nested(schema.field(name).type)]
    if nested or len(keys) > _MOST_KEYS:
        said = f"{nested[0]!r} is {schema.field(nested[0]).type}" if nested else "these are more"
        raise DeclarationError(
            f"lookup() is by up to {_MOST_KEYS} columns of plain values, and {said}: compute one "
            "by .with_columns(key=...) in front of it"
        )


def _columns(
    schema: Any, keys: tuple[str, ...], model: Any, columns: Any, suffix: str
) -> tuple[Any, tuple[str, ...], Any]:
    """What the function gives, what that is called, and the schema of the rows behind it."""
    import pyarrow as pa

    if (model is None) == (columns is None):
        raise DeclarationError(
            "lookup() has to know what the function returns: write model=Customer, or "
            "columns={'tier': pa.string()}"
        )
    if model is not None:
        if not is_model(model):
            raise DeclarationError(
                f"lookup(model={model!r}): write a class that derives from turbine.Record"
            )
        from turbine.models import arrow_schema

        columns = {one.name: one.type for one in arrow_schema(model) if one.name not in keys}
    if not columns:
        raise DeclarationError("lookup() gives no column besides its key: name one")
    try:
        given = pa.schema([pa.field(name, kind) for name, kind in dict(columns).items()])
    except (TypeError, ValueError) as exc:
        raise DeclarationError(
            f"lookup(columns={columns!r}): write Arrow types, as {{'tier': pa.string()}}: {exc}"
        ) from None
    added = tuple(n + suffix if n in schema.names else n for n in given.names)
    taken = [name for name in added if name in schema.names or added.count(name) > 1]
    if taken:
        raise DeclarationError(
            f"lookup(): two columns would be called {taken[0]!r}: write another suffix="
        )
    fields = [pa.field(name, one.type) for name, one in zip(added, given, strict=True)]
    return given, added, pa.schema([*schema, *fields])


def _seconds(name: str, length: Length | None) -> float | None:
    return None if length is None else ms(name, length) / 1_000


def _retry(given: Any) -> Retry:
    if given is None:
        return Retry(3, 0.1)
    if not isinstance(given, Retry) or given.then != "fail":
        raise DeclarationError(
            f"lookup(retry={given!r}): write Retry(3, 0.1); what happens to the rows when the last "
            "try has failed says on_error"
        )
    _declare.whole_number("times of Retry", given.times, least=0)
    if given.backoff < 0:
        raise DeclarationError(f"backoff={given.backoff!r} of Retry is negative")
    return given


def _nulls(on_error: Any, how: str) -> bool:
    if on_error not in (None, "null"):
        raise DeclarationError(
            f"lookup(on_error={on_error!r}): write 'null' for nulls, or .to(on_error="
            f"{on_error!r}), which is about all that can happen to a record"
        )
    if on_error == "null" and how == "inner":
        raise DeclarationError(
            "lookup(how='inner', on_error='null') would lose rows whose key failed: write "
            "how='left', or leave on_error out"
        )
    return bool(on_error == "null")


def _said(one: Lookup) -> str:
    kind = "inner" if one.is_inner else "left"
    ttl = "without an end" if one.ttl_s is None else f"for {round(one.ttl_s * 1_000)} ms"
    cache = f"{one.cache_size} keys {ttl}" if one.cache_size else "nothing remembered"
    return (
        f"{kind} {one.name}({', '.join(one.by)}): {columns_of(one.columns)}; at most "
        f"{one.concurrency} calls at once, {cache}"
    )
