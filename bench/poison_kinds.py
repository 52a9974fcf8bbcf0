"""Twelve kinds of records that nobody can read, made of events that anybody can."""

from collections.abc import Callable

LARGE_BYTES = 1_000_000
"""Of the largest kind: the most that a Kafka client sends by default."""

KINDS: dict[str, Callable[[bytes], bytes | None]] = {
    "cut short": lambda good: good[: len(good) // 2],
    "wrong type": lambda good: good.replace(b'"id":', b'"id":"seven","was":', 1),
    "NaN": lambda good: good.replace(b'"amount":', b'"amount":NaN,"was":', 1),
    "not UTF-8": lambda good: good.replace(b'"user":"u', b'"user":"\xff', 1),
    "empty": lambda _: b"",
    "tombstone": lambda _: None,
    "one megabyte": lambda good: good.replace(
        b'"user":"', b'"user":"' + b"x" * (LARGE_BYTES - len(good)), 1
    ),
    "nested deeply": lambda good: good[:-1] + b',"deep":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "out of range": lambda good: good.replace(b'"id":', b'"id":1000000000000000000000,"was":', 1),
    "two objects": lambda good: good + good,
    "another format": lambda good: b"\x00\x00\x00\x00\x07" + good,
    "missing field": lambda good: good.replace(b'"user":', b'"usr":', 1),
}
"""What becomes of a good event, by the name of the kind."""
