"""Words at a fixed rate into one partition, in batches that were made before the clock starts."""

import asyncio
import random
import string
import time
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaProducer

__all__ = ["DICTIONARY", "Fed", "feed", "words"]

DICTIONARY = 5_000
_LETTERS = 7
_SEED = 11
_STEP_S = 0.008
"""Between two batches, as the benchmark has it."""
_MAX_BYTES = 8 << 20
_UNDER_WAY = 200
"""Batches at most that wait for the broker; with more of them the broker is what is measured."""


@dataclass(frozen=True)
class Fed:
    """
    What was written.

    Attributes:
        ids: Number of the word of each record, shape ``(n,)``, in the order of the partition.
        at_ms: When the broker appended it, in ms since the Unix epoch, shape ``(n,)``.
        behind_s: How far the last batch was behind its time: the feeder or the broker was too slow.
    """

    ids: np.ndarray
    at_ms: np.ndarray
    behind_s: float


def words() -> list[str]:
    """Give the dictionary: different words of seven letters, the same every time."""
    dice, found = random.Random(_SEED), dict[str, None]()
    while len(found) < DICTIONARY:
        found["".join(dice.choices(string.ascii_lowercase, k=_LETTERS))] = None
    return list(found)


async def feed(bootstrap: str, topic: str, rate: int, seconds: float) -> Fed:
    """Write *rate* words a second, uniformly at random, for *seconds*."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks=1,
        linger_ms=0,
        max_batch_size=_MAX_BYTES,
        max_request_size=_MAX_BYTES,
    )
    await producer.start()
    try:
        counts = _sizes(rate, seconds)
        ids = np.random.default_rng(_SEED).integers(0, DICTIONARY, int(counts.sum()))
        batches = _made(producer, ids, counts)
        at_ms, behind_s = await _sent(producer, topic, batches)
        return Fed(ids, np.repeat(np.array(at_ms), counts), behind_s)
    finally:
        await producer.stop()


def _sizes(rate: int, seconds: float) -> np.ndarray:
    ends = np.floor(np.arange(1, int(seconds / _STEP_S) + 1) * _STEP_S * rate)
    sizes = np.diff(ends.astype(np.int64), prepend=0)
    return sizes[sizes > 0]


def _made(producer: AIOKafkaProducer, ids: np.ndarray, counts: np.ndarray) -> list:
    values = [f'{{"word":"{word}"}}'.encode() for word in words()]
    batches, at = [], 0
    for count in counts.tolist():
        batch = producer.create_batch()
        for one in ids[at : at + count].tolist():
            if batch.append(timestamp=None, key=None, value=values[one]) is None:
                raise SystemExit(f"{count} words are more than one batch: take a lower rate")
        batch.close()
        batches.append(batch)
        at += count
    return batches


async def _sent(producer: AIOKafkaProducer, topic: str, batches: list) -> tuple[list[int], float]:
    began, late = time.perf_counter(), 0.0
    answers, room = [], asyncio.Semaphore(_UNDER_WAY)
    for number, batch in enumerate(batches):
        due = began + number * _STEP_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await room.acquire()
        answer = await producer.send_batch(batch, topic, partition=0)
        answer.add_done_callback(lambda _: room.release())
        answers.append(answer)
        late = time.perf_counter() - due
    return [one.timestamp for one in await asyncio.gather(*answers)], late
