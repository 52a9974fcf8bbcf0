"""
The same queries as DuckDB computes them over all bids at once: what the plans are compared with.

Each gives rows of one shape with those of `nexmark.queries` and `nexmark.joined`. Tables ``bid``,
``auction``, ``person`` and ``side`` are there.
"""

from nexmark.events import SIDE_ROWS

__all__ = ["BATCH", "CHANGES", "KEYS"]

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

_WINS = """
    SELECT a.id, a.category, a.seller, a.expires, b.bidder, b.price, b.date_time AS bid_ms
    FROM auction a JOIN bid b ON b.auction = a.id AND b.date_time BETWEEN a.date_time AND a.expires
    WHERE a.id <> 1 QUALIFY row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC) = 1
"""

BATCH = {
    "q0": "SELECT auction, bidder, price, date_time, extra FROM bid",
    "q1": f"SELECT auction, bidder, date_time, extra, {_EUROS} AS price FROM bid",
    "q2": "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    "q3": """
        SELECT p.name, p.city, p.state, a.id AS auction
        FROM auction a JOIN person p ON a.seller = p.id
        WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')
    """,
    "q4": f"SELECT category, avg(price) AS average FROM ({_WINS}) GROUP BY category",
    "q5": """
        WITH hops AS (
            SELECT auction, (date_time // 2000 + hop) * 2000 AS "end"
            FROM bid, (SELECT unnest([1, 2, 3, 4, 5]) AS hop)
        ), counts AS (SELECT auction, "end", count(*) AS num FROM hops GROUP BY ALL)
        SELECT "end", auction, num FROM counts
        QUALIFY num = max(num) OVER (PARTITION BY "end")
    """,
    "q6": f"""
        WITH last AS (
            FROM ({_WINS})
            QUALIFY row_number() OVER (PARTITION BY seller ORDER BY expires DESC, id DESC) <= 10
        )
        SELECT seller, avg(price) AS average FROM last GROUP BY seller
    """,
    "q7": f"""
        SELECT price, auction, bidder, {_BUCKET.format(ms=10_000)} + 10000 AS "end" FROM bid
        QUALIFY price = max(price) OVER (PARTITION BY date_time // 10000)
    """,
    "q8": """
        SELECT DISTINCT p.id, p.name, (p.date_time // 10000 + 1) * 10000 AS "end"
        FROM person p JOIN auction a
        ON a.seller = p.id AND a.date_time // 10000 = p.date_time // 10000
    """,
    "q9": f"SELECT id, category, seller, bidder, price, bid_ms FROM ({_WINS})",
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
    "q13": f"""
        SELECT auction, bidder, price, bid.date_time, value
        FROM bid JOIN side ON auction % {SIDE_ROWS} = side.key
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
    "q20": """
        SELECT b.* EXCLUDE (extra), a.* EXCLUDE (id, extra, date_time)
        FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10
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

KEYS = {
    "q4": ("category",),
    "q6": ("seller",),
    "q18": ("bidder", "auction"),
    "q19": ("auction",),
}
"""Of tables: the columns whose last row counts."""

CHANGES = {"q4": "q9", "q6": "q9", "q18": "q0", "q19": "q0"}
"""Of tables: the query each of whose rows changes one of theirs."""
