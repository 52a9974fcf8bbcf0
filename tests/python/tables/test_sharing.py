"""Which agents write which tables, as their source says."""

from functools import partial
from typing import Any

import pytest

import turbine
from turbine._sharing import shared_topics, tables_written_by

app = turbine.App("sharing")
table: Any = app.Table("t", default=int)
people: Any = app.SetTable("people")
windows: Any = app.Table("w", default=int).tumbling(10)


def helper(of: Any) -> None:
    of["x"] = 1


def by_itself(key: Any) -> None:
    table[key] = 1


async def assigns(stream: Any) -> None:
    async for key, value in stream.items():
        table[key] = value


async def adds(stream: Any) -> None:
    async for key in stream:
        table[key] += 1


async def deletes(stream: Any) -> None:
    async for key in stream:
        del table[key]


async def pops(stream: Any) -> None:
    async for key in stream:
        table.pop(key, None)


async def renames(stream: Any) -> None:
    mine = table
    async for key in stream:
        mine[key] = 1


async def gives_away(stream: Any) -> None:
    async for _ in stream:
        helper(table)


async def calls(stream: Any) -> None:
    async for key in stream:
        by_itself(key)


async def is_given(of: Any, stream: Any) -> None:
    async for key in stream:
        of[key] = 1


class Actor:
    counts = table

    async def __call__(self, stream: Any) -> None:
        async for key in stream:
            self.counts[key] = 1

    async def method(self, stream: Any) -> None:
        async for key in stream:
            self.counts[key] = 1


async def joins(stream: Any) -> None:
    async for key, name in stream.items():
        people[key].add(name)


async def counts_windows(stream: Any) -> None:
    async for key in stream:
        windows[key] += 1


async def reads(stream: Any) -> None:
    seen: dict[Any, Any] = {}
    async for key in stream:
        seen[key] = table[key]
        seen.update(table.items())
        print(len(table), sorted(people[key]))  # noqa: T201 - never called


async def writes_two(stream: Any) -> None:
    async for key in stream:
        table[key], windows[key] = 1, 2


@pytest.mark.parametrize(
    ("agent", "tables"),
    [
        *((fn, [table]) for fn in (assigns, adds, deletes, pops, renames, gives_away, calls)),
        *((fn, [table]) for fn in (partial(is_given, table), Actor, Actor(), Actor().method)),
        (joins, [people.pairs]),
        (counts_windows, [windows.table]),
        (writes_two, [table, windows.table]),
        (reads, []),
        (is_given, []),
    ],
)
def test_what_changes_a_table_is_seen_and_what_reads_it_is_not(agent: Any, tables: Any) -> None:
    assert tables_written_by(agent) == {id(table) for table in tables}


def test_code_without_source_writes_nothing_that_is_known() -> None:
    names: dict[str, Any] = {"table": table}
    exec("async def typed(stream):\n    table[1] = 1\n", names)
    assert not tables_written_by(names["typed"])


def test_only_topics_that_share_a_table_are_read_together() -> None:
    own = turbine.App("together")
    own.agent("a", name="a")(adds)
    own.agent("b", name="b")(writes_two)
    own.agent("c", name="c")(counts_windows)
    own.agent("d", name="d")(reads)
    own.agent("e", name="e", processing_guarantee="exactly_once")(counts_windows)
    own.agent("f", name="f")(joins)
    assert shared_topics(own) == [["a", "b", "c"]]
    assert shared_topics(turbine.App("none")) == []
