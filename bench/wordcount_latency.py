"""
Latency of word counts, by the clock of the broker, as Pathway's benchmark has it.

A word was answered when the first output of it was appended whose count is at least its ordinal
among its like: a program may leave out counts in between.
"""

from dataclasses import dataclass

import numpy as np
import orjson
from confluent_kafka import Consumer, TopicPartition
from wordcount_feed import DICTIONARY, Fed, words

__all__ = ["Latencies", "Outputs", "latencies", "read"]


@dataclass(frozen=True)
class Outputs:
    """
    What a program wrote, shape ``(n,)`` each.

    Attributes:
        ids: Numbers of the words.
        counts: Their counts.
        at_ms: When the broker appended them, in ms since the Unix epoch.
    """

    ids: np.ndarray
    counts: np.ndarray
    at_ms: np.ndarray


@dataclass(frozen=True)
class Latencies:
    """
    One measurement.

    Attributes:
        label: The program.
        rate_per_s: Words a second that were fed.
        words: Words that were counted, without those of the warm-up.
        lost: Those of them that had no answer when the measurement ended.
        outputs: Records that the program wrote.
        p50_ms: Median, in ms.
        p95_ms: 95th percentile, in ms.
        p99_ms: 99th percentile, in ms.
        behind_s: How far the feeder was behind at the end, in s.
        cpu_us: Processor time of the program for a word, in microseconds, warm-up included.
        rss_mb: Resident memory at the end, in MiB.
    """

    label: str
    rate_per_s: int
    words: int
    lost: int
    outputs: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    behind_s: float
    cpu_us: float
    rss_mb: float


def read(bootstrap: str, topic: str) -> Outputs:
    """
    Read partition 0 of *topic*, without words that are in no dictionary.

    A row that is taken back (``"diff": -1``) is no output.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"read-{topic}",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
        }
    )
    place = TopicPartition(topic, 0, 0)
    consumer.assign([place])
    end = consumer.get_watermark_offsets(place, timeout=30)[1]
    known = {word: number for number, word in enumerate(words())}
    rows: list[tuple[int, int, int]] = []
    offset = -1
    while offset < end - 1:
        messages = consumer.consume(10_000, 10)
        if not messages:
            raise SystemExit(f"{topic} ends in front of {end}")
        offset = messages[-1].offset()
        for message in messages:
            row = orjson.loads(message.value() or b"{}")
            number = known.get(row["word"])
            if number is not None and row.get("diff", 1) > 0:
                rows.append((number, row["count"], message.timestamp()[1]))
    consumer.close()
    ids, counts, at_ms = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Outputs(ids, counts, at_ms)


def latencies(fed: Fed, outputs: Outputs, skip: int) -> tuple[np.ndarray, int]:
    """
    Match words with outputs.

    Args:
        fed: What was written.
        outputs: What the program wrote.
        skip: Words of the warm-up.

    Returns:
        Latency of each answered word behind the warm-up in ms, sorted; and how many had no answer.
    """
    wide = max(len(fed.ids), int(outputs.counts.max(initial=0))) + 1
    wanted = fed.ids * wide + _ordinals(fed.ids)
    order = np.lexsort((outputs.at_ms, outputs.ids * wide + outputs.counts))
    given, given_ms = (outputs.ids * wide + outputs.counts)[order], outputs.at_ms[order]
    place = np.searchsorted(given, wanted)
    there = np.minimum(place, max(len(given) - 1, 0))
    found = (place < len(given)) & (given[there] // wide == fed.ids) if len(given) else place < 0
    taken = found[skip:]
    took_ms = (given_ms[there] - fed.at_ms)[skip:][taken] if len(given) else np.array([])
    return np.sort(took_ms), int((~taken).sum())


def _ordinals(ids: np.ndarray) -> np.ndarray:
    """How often each has been there, itself included."""
    order = np.argsort(ids, kind="stable")
    starts = np.zeros(DICTIONARY, dtype=np.int64)
    counts = np.bincount(ids, minlength=DICTIONARY)
    starts[1:] = np.cumsum(counts)[:-1]
    result = np.empty_like(ids)
    result[order] = np.arange(len(ids)) - starts[ids[order]] + 1
    return result
