"""Operations of readers: fetching, looking for offsets, cutting logs off."""

from typing import Any

from kafka.record.default_records import ControlRecord, DefaultRecordBatch

from support.conformance import records
from support.conformance.world import World

LARGEST_TIME = -3
KINDS = {0: "abort", 1: "commit"}


def fetch(
    world: World,
    *,
    v: float,
    client: int,
    topic: str,
    partition: int,
    at: int,
    committed: bool,
    most_bytes: int,
) -> Any:
    """Fetch once, without waiting."""
    # Later versions name topics by id only.
    version = world.version("Fetch", v, most=12)
    assert version is not None
    fields = {
        "replica_id": -1,
        "max_wait_ms": 0,
        "min_bytes": 0,
        "max_bytes": 1 << 20,
        "isolation_level": int(committed),
        "session_id": 0,
        "session_epoch": -1,
        "topics": [
            {
                "topic": world.name(topic),
                "partitions": [
                    {
                        "partition": partition,
                        "current_leader_epoch": -1,
                        "fetch_offset": at,
                        "last_fetched_epoch": -1,
                        "log_start_offset": -1,
                        "partition_max_bytes": most_bytes,
                    }
                ],
            }
        ],
        "forgotten_topics_data": [],
        "rack_id": "",
    }
    answer = world.ask(client, "Fetch", version, fields)
    found = answer["responses"][0]["partitions"][0]
    batches = records.read(found.pop("records"))
    tidy: dict[str, Any] = world.tidy(found)
    # Where records of an open transaction were deleted, Kafka's stable offset stays at its start.
    if tidy["last_stable_offset"] >= 0:
        start = tidy.get("log_start_offset", 0)
        tidy["last_stable_offset"] = max(tidy["last_stable_offset"], start)
    # Kafka looks them up by a sparse index: it may name aborted transactions that begin behind what
    # was read, and says null or nothing where there is none.
    end = batches[-1].last_offset if batches else -1
    tidy["aborted_transactions"] = [
        one for one in tidy["aborted_transactions"] or [] if one["first_offset"] <= end
    ]
    tidy["batches"] = [_batch(world, one) for one in batches]
    return tidy


def _batch(world: World, batch: DefaultRecordBatch) -> Any:
    control = batch.is_control_batch
    append_time = batch.timestamp_type == 1
    shown: dict[str, Any] = {
        "offsets": [batch.base_offset, batch.last_offset],
        "codec": batch.compression_type,
        "append_time": append_time,
        "transactional": batch.is_transactional,
        "leader_epoch": batch.leader_epoch,
        "sequence": batch.base_sequence,
        "epoch": batch.producer_epoch,
        "producer": "none"
        if batch.producer_id < 0
        else world.label_of(("producer", batch.producer_id)),
        "sound": batch.validate_crc(),
    }
    if control:
        shown["markers"] = [KINDS.get(one.type) for one in batch if isinstance(one, ControlRecord)]
        return shown
    shown["records"] = [
        [
            one.offset,
            None if append_time else one.timestamp - world.start_ms,
            records.decoded(one.key),
            records.decoded(one.value),
            [[name, records.decoded(value)] for name, value in one.headers],
        ]
        for one in batch
    ]
    return shown


def offsets(
    world: World, *, v: float, client: int, topic: str, partition: int, at: int, committed: bool
) -> Any:
    """List an offset: -2 the earliest, -1 the latest, -3 of the largest time, else by time."""
    version = world.version("ListOffsets", v, least={-3: 7}.get(at, 0), most=9)
    if version is None:
        return "not served"
    if at == LARGEST_TIME and (topic, partition) in world.cut:
        # Kafka still names a record that is deleted, until its segment is.
        return "may name a deleted record"
    fields = {
        "replica_id": -1,
        "isolation_level": int(committed),
        "topics": [
            {
                "name": world.name(topic),
                "partitions": [
                    {
                        "partition_index": partition,
                        "current_leader_epoch": -1,
                        "timestamp": at if at < 0 else world.start_ms + at,
                    }
                ],
            }
        ],
        "timeout_ms": 10_000,
    }
    return world.tidy(world.ask(client, "ListOffsets", version, fields)["topics"])


def cut(world: World, *, v: float, topic: str, partition: int, at: int) -> Any:
    """Delete the records below an offset; -1 is all that readers may see."""
    version = world.version("DeleteRecords", v)
    assert version is not None
    fields = {
        "topics": [
            {
                "name": world.name(topic),
                "partitions": [{"partition_index": partition, "offset": at}],
            }
        ],
        "timeout_ms": 10_000,
    }
    answer = world.ask(0, "DeleteRecords", version, fields)
    if answer["topics"][0]["partitions"][0]["low_watermark"] > 0:
        world.cut.add((topic, partition))
    return world.tidy(answer)


def epoch(world: World, *, v: float, topic: str, partition: int, of: int) -> Any:
    """Ask where a leader epoch ends."""
    version = world.version("OffsetForLeaderEpoch", v)
    assert version is not None
    fields = {
        "replica_id": -1,
        "topics": [
            {
                "topic": world.name(topic),
                "partitions": [
                    {"partition": partition, "current_leader_epoch": -1, "leader_epoch": of}
                ],
            }
        ],
    }
    return world.tidy(world.ask(0, "OffsetForLeaderEpoch", version, fields))
