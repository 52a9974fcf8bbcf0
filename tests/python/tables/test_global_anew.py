"""Global tables whose changelog loses its beginning, or is made anew while it is read."""

from collections.abc import Sequence
from typing import Any

from confluent_kafka import TopicPartition

from support.fixtures import MakeApp
from support.kafka import Cluster, Got
from support.wait import eventually_async as until


async def changelog(app_factory: MakeApp, cluster: Cluster, keys: int) -> tuple[str, list[Got]]:
    """Have a table written with the length of each key; its changelog in a topic of its own."""
    app, source = app_factory(), cluster.make_topic("words", partitions=1)
    table = app.Table("lengths", key_type=str, value_type=int, default=int, partitions=1)

    @app.agent(source, value_type=str)
    async def count(stream: Any) -> None:
        async for word in stream:
            table[word] = len(word)

    cluster.produce(source, ["x" * (n + 1) for n in range(keys)])
    async with app.running():
        await until(lambda: cluster.committed(app.conf.id, source) == {0: keys})
    records = cluster.consume(f"{app.conf.id}-lengths-changelog", keys)
    # Brokers shorten no topic that is only compacted.
    topic = cluster.make_topic("lengths", partitions=1)
    write(cluster, topic, records)
    return topic, records


def write(cluster: Cluster, topic: str, records: Sequence[Got]) -> None:
    """Write records of a changelog."""
    for one in records:
        cluster.produce(topic, [one.value], keys=[one.key], partition=0)


def shorten(cluster: Cluster, topic: str, offset: int) -> None:
    """Delete the records in front of an offset."""
    for future in cluster.admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        future.result(10)


def copied(app_factory: MakeApp, topic: str) -> tuple[Any, Any]:
    """Make an app that only reads the table."""
    app = app_factory()
    table: Any = app.GlobalTable("lengths", key_type=str, value_type=int, changelog_topic=topic)

    @app.timer(60)
    async def rest() -> None:
        pass

    return app, table


def words(*lengths: int) -> dict[str, int]:
    return {"x" * length: length for length in lengths}


async def test_a_changelog_that_is_made_anew_is_read_from_its_beginning_and_nothing_old_stays(
    app_factory: MakeApp, cluster: Cluster
) -> None:
    topic, records = await changelog(app_factory, cluster, 9)
    app, table = copied(app_factory, topic)
    async with app.running():
        assert dict(table.items()) == words(*range(1, 10))
        cluster.remake_topic(topic)
        write(cluster, topic, records[2:4])
        await until(lambda: dict(table.items()) == words(3, 4))
        write(cluster, topic, records[7:8])
        await until(lambda: dict(table.items()) == words(3, 4, 8))


async def test_a_changelog_without_its_beginning_is_read_from_what_there_is(
    app_factory: MakeApp, cluster: Cluster
) -> None:
    topic, records = await changelog(app_factory, cluster, 9)
    shorten(cluster, topic, 6)
    app, table = copied(app_factory, topic)
    async with app.running():
        assert dict(table.items()) == words(7, 8, 9)
        shorten(cluster, topic, cluster.ends(topic)[0])
        write(cluster, topic, records[:1])
        # What was read stays: nobody has deleted a key.
        await until(lambda: dict(table.items()) == words(1, 7, 8, 9))
