"""Operations of producers: plain, idempotent and transactional ones."""

from typing import Any

from support.conformance import records
from support.conformance.world import Identity, World

FINISHED = {"Empty", "CompleteCommit", "CompleteAbort"}
# The first versions of the second transaction protocol (KIP-890).
SECOND = {"Produce": 12, "EndTxn": 5, "TxnOffsetCommit": 5}


def version_for(world: World, api: str, v: float, *, second: bool) -> int | None:
    """Choose a version of the first or the second transaction protocol, if both brokers have it."""
    first = SECOND[api]
    second = second and world.has_second
    return world.version(api, v, least=first) if second else world.version(api, v, most=first - 1)


def rows(world: World, given: list[list[Any]]) -> list[list[Any]]:
    """Move the times of records from the start of the sequence to now."""
    return [[key, value, world.start_ms + at, headers] for key, value, at, headers in given]


def send(
    world: World,
    client: int,
    version: int,
    place: tuple[str, int],
    batch: bytes,
    *,
    acks: int = -1,
    transaction: str | None = None,
) -> Any:
    """Send a batch and return the answer for its partition."""
    topic, partition = place
    fields = {
        "transactional_id": None if transaction is None else world.name(transaction),
        "acks": acks,
        "timeout_ms": 10_000,
        "topic_data": [
            {
                "name": world.name(topic),
                "partition_data": [{"index": partition, "records": batch}],
            }
        ],
    }
    if acks == 0:
        world.clients[client].send("Produce", version, fields)
        return None
    answer = world.ask(client, "Produce", version, fields)
    return world.tidy(answer["responses"][0]["partition_responses"][0])


def produce(
    world: World,
    *,
    v: float,
    client: int,
    topic: str,
    partition: int,
    records_: list[list[Any]],
    gzip: bool,
    acks: int,
) -> Any:
    """Write a batch without a producer id."""
    version = world.version("Produce", v, most=12)
    assert version is not None
    batch = records.write(rows(world, records_), records.Producer(), gzip=gzip)
    answer = send(world, client, version, (topic, partition), batch, acks=acks)
    if acks == 0:
        # A request behind it on the same connection is answered when it is done.
        world.clients[client].ask("Metadata", 9, {"topics": []})
    return answer


def init(world: World, *, v: float, client: int, producer: str, bump: bool) -> Any:
    """Get a producer id; names that start with ``x`` are transactional."""
    version = world.version("InitProducerId", v, least=3 if bump else 0)
    if version is None or (producer.startswith("x") and not world.transactional):
        return "not served"
    own = world.producers.setdefault((client, producer), Identity())
    bump = bump and own.id >= 0
    fields = {
        "transactional_id": world.name(producer) if producer.startswith("x") else None,
        "transaction_timeout_ms": 60_000,
        "producer_id": own.id if bump else -1,
        "producer_epoch": own.epoch if bump else -1,
    }
    answer = world.ask(client, "InitProducerId", version, fields)
    if answer["error_code"] == 0:
        world.pending.pop(producer, None)
        # An idempotent producer gets an id of its own each time.
        label = producer if producer.startswith("x") else f"{producer} of client {client}"
        world.label(("producer", answer["producer_id"]), label)
        world.producers[client, producer] = Identity(
            answer["producer_id"], answer["producer_epoch"]
        )
    return world.tidy(answer)


def produce_as(
    world: World,
    *,
    v: float,
    client: int,
    producer: str,
    topic: str,
    partition: int,
    records_: list[list[Any]],
    sequence: str,
    add: bool,
    second: bool,
) -> Any:
    """
    Write a batch as an idempotent or transactional producer.

    ``sequence`` is ``next``, ``again`` for the batch before, ``gap`` or ``zero``.
    """
    own = world.producers.get((client, producer))
    if own is None or own.id < 0:
        return "no producer"
    transactional = producer.startswith("x")
    second = second and transactional and world.has_second
    version = version_for(world, "Produce", v, second=second)
    if version is None:
        return "not served"
    seen: list[Any] = []
    place = (topic, partition)
    if transactional and add and not second and place not in own.added:
        answer = _add_partition(world, v, client, producer, place)
        seen.append(answer)
        if answer == "not served":
            return answer
    at = own.next.get(place, 0)
    count = len(records_)
    first = {"next": at, "again": max(0, at - count), "gap": at + 7, "zero": 0}[sequence]
    batch = records.write(
        rows(world, records_),
        records.Producer(own.id, own.epoch, first, transactional),
        gzip=False,
    )
    answer = send(
        world, client, version, place, batch, transaction=producer if transactional else None
    )
    if answer["error_code"] == 0 and first == at:
        own.next[place] = at + count
    return [*seen, answer]


def _add_partition(
    world: World, v: float, client: int, producer: str, place: tuple[str, int]
) -> Any:
    version = world.version("AddPartitionsToTxn", v, most=3)
    if version is None:
        return "not served"
    own = world.producers[client, producer]
    fields = {
        "v3_and_below_transactional_id": world.name(producer),
        "v3_and_below_producer_id": own.id,
        "v3_and_below_producer_epoch": own.epoch,
        "v3_and_below_topics": [{"name": world.name(place[0]), "partitions": [place[1]]}],
    }
    answer = world.ask(client, "AddPartitionsToTxn", version, fields)
    results = answer["results_by_topic_v3_and_below"]
    found = world.tidy([one["results_by_partition"] for one in results])
    if found == [[{"partition_index": place[1], "partition_error_code": 0}]]:
        own.added.add(place)
    return found


def end(world: World, *, v: float, client: int, producer: str, commit: bool, second: bool) -> Any:
    """Commit or abort a transaction, and wait until its markers are written."""
    own = world.producers.get((client, producer))
    if own is None or own.id < 0:
        return "no producer"
    version = version_for(world, "EndTxn", v, second=second)
    if version is None:
        return "not served"
    fields = {
        "transactional_id": world.name(producer),
        "producer_id": own.id,
        "producer_epoch": own.epoch,
        "committed": commit,
    }
    answer = world.ask(client, "EndTxn", version, fields)
    if answer["error_code"] == 0:
        if "producer_id" in answer and answer["producer_id"] >= 0:
            world.label(("producer", answer["producer_id"]), producer)
            if answer["producer_epoch"] != own.epoch or answer["producer_id"] != own.id:
                own.next.clear()
            own.id, own.epoch = answer["producer_id"], answer["producer_epoch"]
        own.added.clear()
        world.pending.pop(producer, None)
        wait_finished(world, producer)
    return world.tidy(answer)


def wait_finished(world: World, producer: str) -> None:
    """Wait until no transaction of this id is under way."""
    version = world.version("DescribeTransactions", 1)
    if version is None:
        return
    fields = {"transactional_ids": [world.name(producer)]}

    def check() -> bool:
        [state] = world.clients[0].ask("DescribeTransactions", version, fields)[
            "transaction_states"
        ]
        return state["transaction_state"] in FINISHED or state["error_code"] != 0

    world.until(check)


def send_offsets(
    world: World,
    *,
    v: float,
    client: int,
    producer: str,
    group: str,
    offsets: list[list[Any]],
    add: bool,
    second: bool,
    member: str,
) -> Any:
    """
    Put offsets into a transaction.

    ``member`` is ``none``, ``own`` for the membership of this client, or ``stale`` for an old one.
    """
    own = world.producers.get((client, producer))
    if own is None or own.id < 0:
        return "no producer"
    version = version_for(world, "TxnOffsetCommit", v, second=second)
    if version is None or (version < 3 and member != "none"):
        return "not served"
    identity = {
        "transactional_id": world.name(producer),
        "producer_id": own.id,
        "producer_epoch": own.epoch,
        "group_id": world.name(group),
    }
    seen: list[Any] = []
    if add and not (second and world.has_second):
        add_version = world.version("AddOffsetsToTxn", v, most=3)
        if add_version is None:
            return "not served"
        seen.append(world.tidy(world.ask(client, "AddOffsetsToTxn", add_version, identity)))
    joined = world.members.get((client, group))
    membership: dict[str, Any] = {}
    if member != "none" and joined is not None and joined.id:
        stale = 1 if member == "stale" else 0
        membership = {
            "member_id": joined.id,
            "generation_id": joined.generation - stale,
            "group_instance_id": joined.instance,
        }
    topics: dict[str, list[dict[str, Any]]] = {}
    for topic, partition, offset, metadata in offsets:
        topics.setdefault(world.name(topic), []).append(
            {
                "partition_index": partition,
                "committed_offset": offset,
                "committed_leader_epoch": -1,
                "committed_metadata": metadata,
            }
        )
    fields = {
        **identity,
        **membership,
        "topics": [{"name": name, "partitions": rows_} for name, rows_ in topics.items()],
    }
    world.pending.setdefault(producer, set()).add(group)
    answer = world.ask(client, "TxnOffsetCommit", version, fields)
    return [*seen, world.tidy(answer)]


def transaction(world: World, *, v: float, producer: str) -> Any:
    """Describe a transactional id."""
    version = world.version("DescribeTransactions", v)
    if version is None:
        return "not served"
    answer = world.ask(
        0, "DescribeTransactions", version, {"transactional_ids": [world.name(producer)]}
    )
    return world.tidy(answer)


def active(world: World, *, v: float, topic: str, partition: int) -> Any:
    """Describe the producers that a partition remembers."""
    version = world.version("DescribeProducers", v)
    if version is None:
        return "not served"
    fields = {"topics": [{"name": world.name(topic), "partition_indexes": [partition]}]}
    return world.tidy(world.ask(0, "DescribeProducers", version, fields))
