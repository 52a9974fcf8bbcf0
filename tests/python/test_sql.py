"""Queries as text: what they select is what DuckDB selects, and what is not there is said."""

import asyncio
from typing import Any

import duckdb
import hypothesis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from turbine import DeclarationError

CONNECTION = duckdb.connect()


class Click(turbine.Record):
    user: str | None
    ms: int | None
    rate: float
    ts: int = 0


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user": st.none() | st.sampled_from(["ann", "Bob", "eve"]),
            "ms": st.none() | st.integers(-20, 20),
            "rate": st.integers(-40, 40).map(lambda n: n / 8),
            "ts": st.integers(0, 100),
        }
    ),
    max_size=12,
)

SELECTS = [
    "SELECT * FROM clicks",
    "SELECT *, ms + 1 AS more FROM clicks WHERE ms > 3",
    "SELECT user, ms * 2 - 1 AS twice, -ms AS minus FROM clicks WHERE NOT ms > 3 OR ms IS NULL",
    "SELECT ms % 7 AS a, ms % -7 AS b, ms // 7 AS c, ms / 7 AS d FROM clicks",
    "SELECT ms FROM clicks WHERE ms IN (1, 2, -3) OR ms BETWEEN 5 AND 9",
    "SELECT ms FROM clicks WHERE ms NOT IN (1, 2) AND user IS NOT NULL AND ms <> 5",
    "SELECT CASE WHEN ms < 0 THEN 'low' WHEN ms < 9 THEN 'mid' ELSE 'top' END AS c FROM clicks",
    "SELECT CASE user WHEN 'ann' THEN 1 WHEN 'eve' THEN 2 END AS c FROM clicks",
    "SELECT coalesce(ms, 0) AS a, CAST(ms AS DOUBLE) AS b, CAST(ms AS VARCHAR) AS c FROM clicks",
    "SELECT lower(user) AS a, upper(user) AS b, length(user) AS c FROM clicks",
    "SELECT abs(ms) AS a, floor(rate) AS b, ceil(rate) AS c, abs(rate) AS d FROM clicks",
    "SELECT clicks.ms FROM clicks",
    "SELECT user LIKE 'a%' AS a, user NOT LIKE '_o%' AS b, user ILIKE 'B_b' AS c FROM clicks",
    "SELECT user LIKE '%.%' AS a, user LIKE '' AS b, user LIKE 'eve' AS c FROM clicks",
    "SELECT user || '!' AS a, concat(user, '-', user) AS b, trim(' ' || user) AS c FROM clicks",
    "SELECT replace(user, 'b', 'p') AS a, substr(user, 2) AS b FROM clicks",
    "SELECT substring(user, 1, 2) AS a FROM clicks",
    "SELECT starts_with(user, 'a') AS a, ends_with(user, 'e') AS b FROM clicks",
    "SELECT contains(user, 'o') AS a FROM clicks",
    "SELECT split_part(user, 'n', 1) AS a, split_part(user, 'n', 3) AS b FROM clicks",
    "SELECT split_part(user, '.', 2) AS a, split_part(user, '.', 1) AS b FROM clicks",
    "SELECT regexp_matches(user, '^[ae]') AS a FROM clicks",
    "SELECT regexp_extract(user, '(.)(n+)', 2) AS a, regexp_extract(user, 'o.') AS b FROM clicks",
    "SELECT nullif(ms, 3) AS a, nullif(user, 'ann') AS b, nullif(3, ms) AS c FROM clicks",
    "SELECT greatest(ms, 3) AS a, least(ms, 3, -4) AS b, sign(ms) AS c FROM clicks",
    "SELECT if(ms > 0, 'more', 'less') AS a, ifnull(ms, 7) AS b FROM clicks",
    "SELECT hour(make_timestamp_ms(ts)) AS a, second(make_timestamp_ms(ts)) AS b FROM clicks",
    "SELECT strftime(make_timestamp_ms(ts), '%Y-%m-%d %H:%M') AS a FROM clicks",
    "SELECT ms * 2 AS twice FROM clicks WHERE twice > 3 AND twice < 30",
]


def stream() -> Any:
    return turbine.App("a").stream("clicks", model=Click, event_time="ts")


@pytest.mark.parametrize("query", SELECTS)
@hypothesis.settings(max_examples=15)
@given(rows=ROWS)
def test_rows_are_those_that_duckdb_selects(query: str, rows: list[dict[str, Any]]) -> None:
    flow = stream().sql(query)
    clicks = pa.RecordBatch.from_pylist(rows, schema=flow.source_schema)
    CONNECTION.register("clicks", pa.Table.from_batches([clicks]))
    wanted = CONNECTION.sql(query)
    found = flow.rows(clicks)
    assert found.schema.names == wanted.columns
    assert [tuple(row.values()) for row in found.to_pylist()] == wanted.fetchall()


GROUPED = [
    """
    SELECT user, count(*) AS n, sum(ms) AS s, avg(ms) AS a, window_start_ms AS start
    FROM clicks WHERE ms > -15 GROUP BY user, tumble('1s') HAVING count(*) > 1
    """,
    """
    SELECT ms % 3 AS third, count(*) * 2 AS n, max(rate) AS top, min(rate) / 2 AS low,
        count(DISTINCT user) AS users, window_start_ms AS start
    FROM clicks WHERE ms >= 0 GROUP BY third, tumble('1s')
    """,
    """
    SELECT user, count(*) FILTER (WHERE ms > 0) AS up, sum(ms) FILTER (WHERE rate > 3) AS high,
        count(DISTINCT ms) FILTER (WHERE ms < 0) AS below, count(*) AS n, window_start_ms AS start
    FROM clicks GROUP BY user, tumble('1s')
    """,
    """
    SELECT stddev_pop(ms) > 9 AS wide, stddev(ms) > 9 AS sample, var_pop(ms) > 140 AS v,
        bool_and(ms > -20) AS every, bool_or(ms > 19) AS one, window_start_ms AS start
    FROM clicks GROUP BY tumble('1s')
    """,
    """
    SELECT count(ms) AS n, arg_max(ms, ts) AS last, window_start_ms AS start
    FROM clicks GROUP BY tumble('1s')
    """,
]


async def test_groups_of_windows_are_those_of_duckdb(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source = make_topic("clicks", partitions=2)
    outs = [make_topic(f"out{n}", partitions=1) for n in range(len(GROUPED))]
    rows = [
        {
            "user": f"u{n % 5}",
            "ms": n * 7 % 41 - 20,
            "rate": (n * 13 % 31) / 4,
            "ts": n * 37,
        }
        for n in range(200)
    ]
    for query, out in zip(GROUPED, outs, strict=True):
        clicks = app.stream(source, model=Click, event_time="ts")
        clicks.sql(query.replace("FROM clicks", f'FROM "{source}"')).to(out)
    end = {"user": "end", "ms": 0, "rate": 0.0, "ts": 10_000_000}
    for partition in (0, 1):
        produce(source, [*rows[partition::2], end], partition=partition)
    connection = duckdb.connect()
    connection.register("clicks", pa.Table.from_pylist(rows))
    async with app.running():
        for query, out in zip(GROUPED, outs, strict=True):
            batch = query.replace("tumble('1s')", "window_start_ms")
            bucket = "(SELECT *, ts // 1000 * 1000 AS window_start_ms FROM clicks)"
            wanted = connection.sql(batch.replace("FROM clicks", f"FROM {bucket}"))
            expected = [dict(zip(wanted.columns, row, strict=True)) for row in wanted.fetchall()]
            got = [one.json for one in await asyncio.to_thread(consume, out, len(expected))]
            assert len(expected) > 3
            assert sorted(map(repr, got)) == sorted(map(repr, expected))


REFUSED = [
    ("SELEC x", "write SELECT"),
    ("SELECT FROM WHERE", "cannot be read"),
    ("DELETE FROM clicks", "write SELECT"),
    ("SELECT ms FROM other", "the one that it is written on"),
    ("SELECT ms FROM (SELECT * FROM clicks)", "the one that it is written on"),
    ("SELECT ms FROM clicks JOIN b USING (ms)", "a join has a method"),
    ("SELECT ms FROM clicks ORDER BY ms", "the order of its partitions"),
    ("SELECT ms FROM clicks LIMIT 3", "has no end"),
    ("SELECT DISTINCT ms FROM clicks", "dedup="),
    ("SELECT ms FROM clicks UNION ALL SELECT ms FROM clicks", "to one topic"),
    ("WITH x AS (SELECT 1) SELECT ms FROM clicks", r"\.through"),
    ("SELECT row_number() OVER () AS r FROM clicks", r"\.through"),
    ("SELECT ms + 1 FROM clicks", "AS name"),
    ("SELECT nothing FROM clicks", "there is no column"),
    ("SELECT ms FROM clicks WHERE user LIKE 'a%' ESCAPE '!'", "turbine.functions"),
    ("SELECT ms FROM clicks WHERE user LIKE user", "turbine.functions"),
    ("SELECT median(ms) AS s FROM clicks GROUP BY user", r"others by \.agg"),
    ("SELECT arg_max(ms, ts) FILTER (WHERE ms > 0) AS s FROM clicks", "second argument"),
    ("SELECT substr(user, -2) AS s FROM clicks", "turbine.functions"),
    ("SELECT ltrim(user) AS s FROM clicks", "turbine.functions"),
    ("SELECT user, count(*) AS n FROM clicks GROUP BY user, tumble(10)", "lengths as text"),
    ("SELECT user, count(*) AS n FROM clicks GROUP BY user, tumble()", r"tumble\('10s'\)"),
    ("SELECT count(*) AS n FROM clicks GROUP BY tumble('1s'), hop('2s', '1s')", "one window"),
    ("SELECT count(*) AS n FROM clicks GROUP BY ALL", "name the columns"),
    ("SELECT user, ms, count(*) AS n FROM clicks GROUP BY user", "there is no column"),
    ("SELECT round(ms, 1) AS r FROM clicks", "turbine.functions"),
    ("SELECT * FROM clicks GROUP BY user", "names what is selected"),
]


@pytest.mark.parametrize(("query", "reason"), REFUSED)
def test_what_a_plan_cannot_do_is_refused_with_the_next_step(query: str, reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason) as raised:
        stream().sql(query)
    assert "\n" not in str(raised.value)
