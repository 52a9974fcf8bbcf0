"""A sequence of operations from a seed; pure, so that a seed always means the same."""

from random import Random
from typing import Any

from support.conformance.world import Operation

# Operations of one sequence, least and most.
LENGTH = (12, 34)
TEXTS = ["a", "b", "c", "", None, "ö-" * 20]
SETTINGS = {
    "max.message.bytes": ["300", "2000"],
    "retention.bytes": ["-1", "1000000"],
    "retention.ms": ["-1", "3600000000"],
    "message.timestamp.type": ["CreateTime", "LogAppendTime"],
    "cleanup.policy": ["delete", "compact", "compact,delete"],
    "min.insync.replicas": ["1"],
    "segment.bytes": ["1048576"],
}
WRONG = {
    "max.message.bytes": "many",
    "cleanup.policy": "shred",
    "no.such.setting": "1",
    "retention.ms": "-7",
    "min.insync.replicas": "0",
}
SET, DELETE = 0, 1


class Plan:
    """
    Chooses the operations of one sequence.

    Args:
        seed: What they are made from.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(f"conformance {seed}")
        random = self._random
        self._topics = ["t0", "t1"][: random.choice([1, 1, 2])]
        self._partitions = random.choice([1, 1, 2])
        self._second = random.random() < 0.4
        self._static = random.random() < 0.2
        # A sequence has one subject and a little of everything else.
        self._subject = random.choice(
            ["log", "idempotent", "transactions", "transactions", "groups", "groups", "topics"]
        )

    def operations(self) -> list[Operation]:
        """Return the sequence."""
        random = self._random
        found: list[Operation] = [
            self._op("create", topic=topic, partitions=self._partitions, settings={}, dry=False)
            for topic in self._topics
        ]
        if random.random() < 0.3:
            name = random.choice(list(SETTINGS))
            found[0][1]["settings"] = {name: random.choice(SETTINGS[name])}
        makers = {
            "log": [self._produce] * 4 + [self._fetch] * 4 + [self._list] * 3 + [self._cut],
            "idempotent": [self._init] * 2 + [self._produce_as] * 6 + [self._fetch] * 2,
            "transactions": [self._init] * 3
            + [self._produce_as] * 6
            + [self._end] * 4
            + [self._send_offsets] * 3
            + [self._fetch] * 4
            + [self._list] * 2
            + [self._committed, self._transaction, self._active, self._produce, self._commit],
            "groups": [self._join] * 4
            + [self._leave]
            + [self._heartbeat] * 2
            + [self._commit] * 4
            + [self._committed] * 4
            + [self._describe] * 2
            + [self._listed, self._forget, self._drop],
            "topics": [self._configure] * 4
            + [self._settings] * 3
            + [self._grow, self._metadata, self._create, self._produce, self._produce]
            + [self._fetch, self._list, self._delete],
        }
        everything = sorted(
            {maker for row in makers.values() for maker in row} - {self._delete},
            key=lambda maker: maker.__name__,
        )
        own = makers[self._subject]
        if self._subject in {"idempotent", "transactions"}:
            found.append(self._init())
        for _ in range(random.randint(*LENGTH)):
            maker = random.choice(own if random.random() < 0.8 else everything)
            found.append(maker())
        # What is there in the end.
        found += [
            self._fetch(topic=topic, at=0, most=1 << 20, committed=committed)
            for topic in self._topics
            for committed in [False, True]
        ]
        return found

    # -- parts ---------------------------------------------------------------------------------

    def _op(self, kind: str, /, **given: Any) -> Operation:
        # Most use the newest version that both have.
        random = self._random
        v = 1.0 if random.random() < 0.6 else round(random.random(), 2)
        return [kind, {"v": v, **given}]

    def _topic(self) -> str:
        random = self._random
        return "missing" if random.random() < 0.03 else random.choice(self._topics)

    def _partition(self) -> int:
        random = self._random
        return 7 if random.random() < 0.03 else random.randrange(self._partitions)

    def _rows(self) -> list[list[Any]]:
        random = self._random
        return [
            [
                random.choice(TEXTS),
                random.choice([*TEXTS, "x" * random.randrange(400)]),
                random.randrange(1000),
                [["h", random.choice(TEXTS)]] * random.choice([0, 0, 1, 2]),
            ]
            for _ in range(random.choice([1, 1, 2, 3, 5]))
        ]

    def _client(self) -> int:
        return self._random.randrange(2)

    def _group(self) -> str:
        return "g0" if self._random.random() < 0.8 else "g1"

    def _producer(self) -> str:
        random = self._random
        if self._subject == "transactions":
            return "x0" if random.random() < 0.8 else random.choice(["x1", "p0"])
        return "p0" if random.random() < 0.8 else "x0"

    # -- operations ------------------------------------------------------------------------------

    def _create(self) -> Operation:
        random = self._random
        settings = {}
        if random.random() < 0.5:
            name = random.choice(list(WRONG))
            settings = {name: WRONG[name]}
        return self._op(
            "create",
            topic=random.choice(["t0", "t2", "not a name", ""]),
            partitions=random.choice([-1, 0, 1, 3]),
            settings=settings,
            dry=True,
        )

    def _delete(self) -> Operation:
        return self._op("delete", topic=self._topic())

    def _grow(self) -> Operation:
        return self._op("grow", topic=self._topic(), count=self._random.choice([0, 1, 2, 3]))

    def _metadata(self) -> Operation:
        return self._op("metadata", topic=self._topic())

    def _configure(self) -> Operation:
        random = self._random
        changes: list[list[Any]] = []
        for name in random.sample(list(SETTINGS), random.choice([1, 1, 2])):
            if random.random() < 0.3:
                changes.append([name, DELETE, None])
            else:
                changes.append([name, SET, random.choice(SETTINGS[name])])
        if random.random() < 0.15:
            name = random.choice(list(WRONG))
            changes = [[name, SET, WRONG[name]]]
        return self._op("configure", topic=self._topic(), changes=changes)

    def _settings(self) -> Operation:
        random = self._random
        names = random.sample(list(SETTINGS), 3)
        return self._op("settings", topic=self._topic(), names=names)

    def _produce(self) -> Operation:
        random = self._random
        return self._op(
            "produce",
            client=self._client(),
            topic=self._topic(),
            partition=self._partition(),
            records_=self._rows(),
            gzip=random.random() < 0.2,
            acks=random.choice([-1, -1, -1, 1, 0]),
        )

    def _init(self) -> Operation:
        return self._op(
            "init",
            client=self._client(),
            producer=self._producer(),
            bump=self._random.random() < 0.2,
        )

    def _produce_as(self) -> Operation:
        random = self._random
        chosen = random.choices(["next", "again", "gap", "zero"], [85, 9, 4, 2])[0]
        return self._op(
            "produce_as",
            client=self._client(),
            producer=self._producer(),
            topic=random.choice(self._topics),
            partition=random.randrange(self._partitions),
            records_=self._rows(),
            sequence=chosen,
            add=random.random() < 0.95,
            second=self._second,
        )

    def _end(self) -> Operation:
        return self._op(
            "end",
            client=self._client(),
            producer="x0" if self._random.random() < 0.8 else "x1",
            commit=self._random.random() < 0.6,
            second=self._second,
        )

    def _offsets(self) -> list[list[Any]]:
        random = self._random
        places = {
            (self._topic() if random.random() < 0.3 else self._topics[0], self._partition())
            for _ in range(random.choice([1, 1, 2]))
        }
        return [
            [topic, partition, random.randrange(50), random.choice([None, "", "note"])]
            for topic, partition in sorted(places)
        ]

    def _send_offsets(self) -> Operation:
        random = self._random
        return self._op(
            "send_offsets",
            client=self._client(),
            producer="x0" if random.random() < 0.8 else "x1",
            group=self._group(),
            offsets=self._offsets(),
            add=random.random() < 0.95,
            second=self._second,
            member=random.choice(["none", "none", "own", "stale"]),
        )

    def _transaction(self) -> Operation:
        return self._op("transaction", producer=self._random.choice(["x0", "x1", "x9"]))

    def _active(self) -> Operation:
        return self._op("active", topic=self._topic(), partition=self._partition())

    def _fetch(self, **given: Any) -> Operation:
        random = self._random
        chosen = {
            "topic": self._topic(),
            "at": random.choice([0, 0, 1, 2, 3, 5, 8, 30, -1]),
            "committed": random.random() < 0.5,
            "most": random.choice([1 << 20, 1 << 20, 200, 1]),
            **given,
        }
        chosen["most_bytes"] = chosen.pop("most")
        partition = 0 if given else self._partition()
        return self._op("fetch", client=self._client(), partition=partition, **chosen)

    def _list(self) -> Operation:
        random = self._random
        return self._op(
            "offsets",
            client=self._client(),
            topic=self._topic(),
            partition=self._partition(),
            at=random.choice([-1, -1, -2, -3, random.randrange(1100)]),
            committed=random.random() < 0.5,
        )

    def _cut(self) -> Operation:
        at = self._random.choice([-1, 0, 1, 3, 40])
        return self._op("cut", topic=self._topic(), partition=self._partition(), at=at)

    def _epoch(self) -> Operation:
        of = self._random.choice([0, 1, -1])
        return self._op("epoch", topic=self._topic(), partition=self._partition(), of=of)

    def _join(self) -> Operation:
        return self._op(
            "join",
            client=self._client(),
            group=self._group(),
            topics=self._topics[: self._random.choice([1, 2])],
            static=self._static,
        )

    def _leave(self) -> Operation:
        return self._op("leave", client=self._client(), group=self._group())

    def _heartbeat(self) -> Operation:
        kind = self._random.choice(["own", "own", "own", "stale", "other"])
        return self._op("heartbeat", client=self._client(), group=self._group(), kind=kind)

    def _commit(self) -> Operation:
        return self._op(
            "commit",
            client=self._client(),
            group=self._group(),
            offsets=self._offsets(),
            member=self._random.choice(["own", "own", "none", "none", "stale", "other"]),
        )

    def _committed(self) -> Operation:
        random = self._random
        places = None
        if random.random() < 0.6:
            places = [[topic, self._partition()] for topic in self._topics]
        return self._op(
            "committed",
            client=self._client(),
            group=self._group(),
            places=places,
            # An offset of an open transaction would be waited for.
            stable=random.random() < 0.3,
        )

    def _forget(self) -> Operation:
        return self._op("forget", group=self._group(), places=[[self._topics[0], 0]])

    def _drop(self) -> Operation:
        return self._op("drop", group=self._group())

    def _describe(self) -> Operation:
        return self._op("describe", group=self._group())

    def _listed(self) -> Operation:
        return self._op("listed", group=self._group())
