"""
The same queries as DuckDB computes them over all bids at once: what the plans are compared with.

Each gives rows of one shape with those of `nexmark.queries`. A table ``bid`` is there.
"""

__all__ = ["BATCH", "KEYS"]

_BUCKET = "(date_time // {ms}) * {ms}"
_DAY_END = "(date_time // 86400000 + 1) * 86400000"


def _ranks(value: str, name: str, what: str = "count") -> str:
    call = "count(DISTINCT " if what == "distinct" else f"{what}("
    return ", ".join(
        [
            f"{call}{value}) AS {name}",
            f"{call}CASE WHEN price < 10000 THEN {value} END) AS {name}1",
            f"{call}CASE WHEN price >= 10000 AND price < 1000000 THEN {value} END) AS {name}2",
            f"{call}CASE WHEN price >= 1000000 THEN {value} END) AS {name}3",
        ]
    )


_STATISTICS = ", ".join(
    [
        _ranks("price", "bids"),
        _ranks("bidder", "bidders", "distinct"),
        _ranks("auction", "auctions", "distinct"),
    ]
)
_EUROS = "price * CAST(0.908 AS DOUBLE)"
_HOUR = "(date_time // 3600000) % 24"

BATCH = {
    "q0": "SELECT auction, bidder, price, date_time, extra FROM bid",
    "q1": f"SELECT auction, bidder, date_time, extra, {_EUROS} AS price FROM bid",
    "q2": "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    "q5": """
        WITH hops AS (
            SELECT auction, (date_time // 2000 + hop) * 2000 AS "end"
            FROM bid, (SELECT unnest([1, 2, 3, 4, 5]) AS hop)
        ), counts AS (SELECT auction, "end", count(*) AS num FROM hops GROUP BY ALL)
        SELECT "end", auction, num FROM counts
        QUALIFY num = max(num) OVER (PARTITION BY "end")
    """,
    "q7": f"""
        SELECT price, auction, bidder, {_BUCKET.format(ms=10_000)} + 10000 AS "end" FROM bid
        QUALIFY price = max(price) OVER (PARTITION BY date_time // 10000)
    """,
    "q10": """
        SELECT auction, bidder, price, date_time, extra,
            strftime(make_timestamp_ms(date_time), '%Y-%m-%d') AS dt,
            strftime(make_timestamp_ms(date_time), '%H:%M') AS hm
        FROM bid
    """,
    "q11": """
        WITH gaps AS (
            SELECT *, coalesce(date_time - lag(date_time) OVER w, 0) >= 10000 AS is_new
            FROM bid WINDOW w AS (PARTITION BY bidder ORDER BY date_time)
        ), sessions AS (
            SELECT *, sum(is_new::INT) OVER (PARTITION BY bidder ORDER BY date_time) AS session
            FROM gaps
        )
        SELECT bidder, count(*) AS num, min(date_time) AS start, max(date_time) + 10000 AS "end"
        FROM sessions GROUP BY bidder, session
    """,
    "q12": f"""
        SELECT bidder, count(*) AS num, {_BUCKET.format(ms=10_000)} AS start, start + 10000 AS "end"
        FROM bid GROUP BY bidder, start
    """,
    "q14": f"""
        SELECT auction, bidder, {_EUROS} AS price, date_time,
            CASE WHEN {_HOUR} BETWEEN 8 AND 18 THEN 'dayTime'
                WHEN {_HOUR} <= 6 OR {_HOUR} >= 20 THEN 'nightTime' ELSE 'otherTime' END AS kind,
            length(extra) - length(replace(extra, 'c', '')) AS letters
        FROM bid WHERE {_EUROS} > 1000000 AND {_EUROS} < 50000000
    """,
    "q15": f'SELECT {_DAY_END} AS "end", {_STATISTICS} FROM bid GROUP BY ALL',
    "q16": f"""
        SELECT channel, {_DAY_END} AS "end", {_STATISTICS},
            max(strftime(make_timestamp_ms(date_time), '%H:%M')) AS minute
        FROM bid GROUP BY ALL
    """,
    "q17": f"""
        SELECT auction, {_DAY_END} AS "end", {_ranks("price", "bids")}, min(price) AS least,
            max(price) AS most, avg(price) AS average, sum(price)::BIGINT AS total
        FROM bid GROUP BY ALL
    """,
    "q18": """
        SELECT bidder, auction, price, channel, url, date_time, extra FROM bid
        QUALIFY row_number() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC) = 1
    """,
    "q19": """
        WITH ranked AS (
            SELECT auction, price FROM bid
            QUALIFY row_number() OVER (PARTITION BY auction ORDER BY price DESC) <= 10
        )
        SELECT auction, list(price ORDER BY price DESC) AS prices FROM ranked GROUP BY auction
    """,
    "q21": r"""
        SELECT auction, bidder, price, channel,
            CASE channel WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2'
                WHEN 'baidu' THEN '3'
                ELSE nullif(regexp_extract(url, '[&?]channel_id=([^&]*)', 1), '') END AS channel_id
        FROM bid WHERE channel_id IS NOT NULL
    """,
    "q22": """
        SELECT auction, bidder, price, channel, nullif(split_part(url, '/', 4), '') AS dir1,
            nullif(split_part(url, '/', 5), '') AS dir2, nullif(split_part(url, '/', 6), '') AS dir3
        FROM bid
    """,
}
"""SQL by the name of the query."""

KEYS = {"q18": ("bidder", "auction"), "q19": ("auction",)}
"""Of tables: the columns whose last row counts."""
