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
    ("SELECT ms FROM clicks JOIN b USING (ms)", "b is not known"),
    ("SELECT ms FROM clicks ORDER BY ms", "the order of its partitions"),
    ("SELECT ms FROM clicks LIMIT 3", "has no end"),
    ("SELECT DISTINCT ms FROM clicks", "dedup="),
    ("SELECT ms FROM clicks UNION SELECT ms FROM clicks", "write UNION ALL"),
    ("SELECT ms FROM clicks EXCEPT ALL SELECT ms FROM clicks", "write UNION ALL"),
    ("SELECT ms FROM clicks UNION ALL SELECT user FROM clicks", "part 2 has the columns user"),
    ("SELECT ms FROM clicks UNION ALL SELECT ms FROM clicks ORDER BY 1", "its partitions"),
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


class Order(turbine.Record):
    id: str
    amount: int
    ts: int


class Payment(turbine.Record):
    id: str
    amount: int
    method: str
    ts: int


JOINED = [
    """
    SELECT o.id, method, o.amount, p.amount AS paid, p.ts - o.ts AS wait
    FROM orders o JOIN payments p ON o.id = p.id AND p.ts BETWEEN o.ts - 100 AND o.ts + 300
    WHERE p.method <> 'cash' AND wait <> 7
    """,
    """
    SELECT p.id, p.amount - o.amount AS more, o.ts AS since, method
    FROM payments p ASOF LEFT JOIN orders o ON p.ts >= o.ts AND p.id = o.id
    """,
    """
    SELECT o.id, p.method, o.ts FROM orders o
    LEFT JOIN payments p ON p.id = o.id AND o.ts BETWEEN p.ts - 50 AND p.ts
    """,
    """
    SELECT p.id, o.amount, p.amount AS paid FROM orders o
    RIGHT OUTER JOIN payments p ON p.id = o.id AND p.ts BETWEEN o.ts - 50 AND o.ts
    WHERE p.id <> 'o3'
    """,
    """
    SELECT coalesce(o.id, p.id) AS id, o.ts, p.ts AS paid_at FROM orders o
    FULL JOIN payments p ON o.id = p.id AND p.ts BETWEEN o.ts - 20 AND o.ts + 20
    """,
    """
    SELECT p.method AS id, sum(o.amount)::BIGINT AS total, count(*) AS n FROM orders o
    JOIN payments p ON o.id = p.id AND p.ts BETWEEN o.ts - 100 AND o.ts + 300
    GROUP BY p.method, tumble('100ms')
    """,
]


async def test_joins_as_text_give_what_duckdb_gives(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    topics = {name: make_topic(name, partitions=2) for name in ("orders", "payments")}
    outs = [make_topic(f"out{n}", partitions=1) for n in range(len(JOINED))]
    orders = [{"id": f"o{n * 7 % 23}", "amount": n, "ts": 1_000 + n * 11} for n in range(90)]
    payments = [
        {
            "id": f"o{n * 5 % 29}",
            "amount": n * 3,
            "method": ("card", "cash")[n % 2],
            "ts": n * 13 + 7,
        }
        for n in range(110)
    ]
    for query, out in zip(JOINED, outs, strict=True):
        left, right = ("payments", "orders") if "ASOF" in query else ("orders", "payments")
        streams = {
            "orders": app.stream(topics["orders"], model=Order, event_time="ts"),
            "payments": app.stream(topics["payments"], model=Payment, event_time="ts"),
        }
        text = query.replace(f"FROM {left}", f'FROM "{topics[left]}"')
        streams[left].sql(text, **{right: streams[right]}).to(out)
    end = {"id": "end", "amount": 0, "method": "", "ts": 10_000_000}
    for name, rows in (("orders", orders), ("payments", payments)):
        for partition in (0, 1):
            produce(topics[name], [*rows[partition::2], end], partition=partition)
    connection = duckdb.connect()
    connection.register("orders", pa.Table.from_pylist(orders))
    connection.register("payments", pa.Table.from_pylist(payments))
    async with app.running():
        for query, out in zip(JOINED, outs, strict=True):
            # The time of a joined row is the later one of both.
            bucket = "greatest(o.ts, p.ts) // 100"
            wanted = connection.sql(query.replace("tumble('100ms')", bucket))
            expected = [dict(zip(wanted.columns, row, strict=True)) for row in wanted.fetchall()]
            got = [one.json for one in await asyncio.to_thread(consume, out, len(expected))]
            found = [row for row in got if row["id"] != "end"]
            assert len(expected) >= 10
            assert sorted(map(repr, found)) == sorted(map(repr, expected))


REFUSED_JOINS = [
    ("SELECT o.id FROM orders o JOIN p ON o.id = p.id", "how far their event times"),
    ("SELECT method FROM orders o FULL JOIN p ON o.method = p.id", "no such column"),
    ("SELECT method FROM orders o FULL JOIN p ON o.id = p.id", "how far their event times"),
    ("SELECT p.id FROM orders o FULL JOIN p ON o.id = p.id AND p.ts BETWEEN o.ts AND o.ts", "coal"),
    (
        "SELECT o.id FROM orders o RIGHT JOIN p ON o.id = p.id AND p.ts BETWEEN o.ts AND o.ts",
        "of p",
    ),
    ("SELECT method FROM orders o RIGHT JOIN t ON o.id = t.id", "answers rows of the left"),
    ("SELECT o.id FROM orders o ASOF RIGHT JOIN p ON o.id = p.id AND o.ts >= p.ts", "ASOF LEFT"),
    ("SELECT o.id FROM orders o CROSS JOIN p", "ASOF JOIN"),
    ("SELECT amount FROM orders o JOIN p ON o.id = p.id AND p.ts BETWEEN o.ts AND o.ts", "both"),
    ("SELECT * FROM orders o ASOF JOIN p ON o.id = p.id AND o.ts >= p.ts", "name the columns"),
    ("SELECT o.method FROM orders o ASOF JOIN p ON o.id = p.id AND o.ts >= p.ts", "no such"),
    ("SELECT q.method FROM orders o ASOF JOIN p ON o.id = p.id AND o.ts >= p.ts", "o and p"),
    ("SELECT p.id FROM orders o ASOF LEFT JOIN p ON o.id = p.id AND o.ts >= p.ts", "that of o"),
    ("SELECT o.id FROM orders o ASOF JOIN p ON o.id = p.id AND o.ts > p.ts", "a.ts >= b.ts"),
    ("SELECT o.id FROM orders o ASOF JOIN p ON o.id = p.id", "a.ts >= b.ts"),
    ("SELECT o.id FROM orders o JOIN p USING (id) JOIN p q USING (id)", "one JOIN"),
    ("SELECT o.id FROM orders o JOIN n USING (id)", "with a model"),
]


@pytest.mark.parametrize(("query", "reason"), REFUSED_JOINS)
def test_a_join_that_cannot_be_is_refused_with_the_next_step(query: str, reason: str) -> None:
    app = turbine.App("a")
    payments = app.stream("payments", model=Payment, event_time="ts")
    with pytest.raises(DeclarationError, match=reason) as raised:
        app.stream("orders", model=Order, event_time="ts").sql(
            query, p=payments, t=payments.as_table(), n=3
        )
    assert "\n" not in str(raised.value)


async def test_union_all_writes_the_rows_of_both_to_one_topic(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory(processing_guarantee="exactly_once")
    orders, payments, out = (make_topic(name, partitions=2) for name in ("o", "p", "out"))
    left = [{"id": f"o{n % 7}", "amount": n, "ts": n} for n in range(60)]
    right = [{"id": f"p{n % 5}", "amount": n, "method": "card", "ts": n} for n in range(50)]
    produce(orders, left)
    produce(payments, right)
    query = """
        SELECT id, amount * 2 AS total FROM orders WHERE amount > 9
        UNION ALL SELECT method || p.id, amount FROM payments p
        UNION ALL SELECT id, 3 FROM orders WHERE amount = 7
    """
    both = app.stream(orders, model=Order).sql(
        query.replace("FROM orders", f'FROM "{orders}"'),
        payments=app.stream(payments, model=Payment),
    )
    assert [line.split()[0] for line in both.explain().splitlines() if line].count("source") == 3
    plans = both.through(out).filter(turbine.functions.col("total") > 5)
    assert plans.schema.names == ["id", "total"]
    assert [one for one in app.subscriptions if one.startswith(orders)] == [
        f"{orders}-to-{out}-{number}" for number in (1, 2, 3)
    ]
    with pytest.raises(AttributeError, match=r"write .through\('topic'\) in between"):
        both.group_by("id")
    connection = duckdb.connect()
    connection.register("orders", pa.Table.from_pylist(left))
    connection.register("payments", pa.Table.from_pylist(right))
    wanted = connection.sql(query).fetchall()
    async with app.running():
        found = await asyncio.to_thread(consume, out, len(wanted))
    assert sorted((one.json["id"], one.json["total"]) for one in found) == sorted(wanted)
