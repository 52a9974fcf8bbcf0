"""Many sequences on two brokers, and shorter ones of what differs."""

import itertools
import json
import multiprocessing
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.conformance import grouping, producing, reading, topics
from support.conformance.plan import Plan
from support.conformance.wire import Connection
from support.conformance.world import NOT_YET, Operation, Versions, World, codes, common_versions

OPERATIONS: dict[str, Callable[..., Any]] = {
    "create": topics.create,
    "delete": topics.delete,
    "grow": topics.grow,
    "configure": topics.configure,
    "settings": topics.settings,
    "metadata": topics.metadata,
    "produce": producing.produce,
    "init": producing.init,
    "produce_as": producing.produce_as,
    "end": producing.end,
    "send_offsets": producing.send_offsets,
    "transaction": producing.transaction,
    "active": producing.active,
    "fetch": reading.fetch,
    "offsets": reading.offsets,
    "cut": reading.cut,
    "epoch": reading.epoch,
    "join": grouping.join,
    "leave": grouping.leave,
    "heartbeat": grouping.heartbeat,
    "commit": grouping.commit,
    "committed": grouping.committed,
    "forget": grouping.forget,
    "drop": grouping.drop,
    "describe": grouping.describe,
    "listed": grouping.listed,
}
CLIENTS = 2
# Records are an hour old: a broker that deletes by age leaves them alone.
AGE_MS = 3_600_000
SHRINK_S = 30.0
WARM_S = 30.0


@dataclass(frozen=True)
class Difference:
    """
    Where two brokers part.

    Attributes:
        seed: Makes the sequence.
        operations: The sequence, or what is left of it.
        ours: Observation of the embedded broker at the last operation.
        theirs: Observation of Apache Kafka.
        steady: False if the same sequence agreed when it ran again.
    """

    seed: int
    operations: list[Operation]
    ours: Any
    theirs: Any
    steady: bool

    def text(self) -> str:
        """Describe it for a person, with the way to see it again."""
        shown = [f"seed {self.seed}{'' if self.steady else ' (not when run again)'}:"]
        shown += [f"  {json.dumps(one, ensure_ascii=False)}" for one in self.operations]
        shown += [
            f"  embedded: {json.dumps(self.ours, ensure_ascii=False)}",
            f"  Kafka:    {json.dumps(self.theirs, ensure_ascii=False)}",
            f"  again: python -m support.conformance --seed {self.seed} --sequences 1",
        ]
        return "\n".join(shown)


@dataclass
class Result:
    """
    What a run found.

    Attributes:
        sequences: How many ran.
        operations: How many operations of each kind ran on each broker.
        differences: What differed.
    """

    sequences: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    @property
    def steady(self) -> list[Difference]:
        """Those that are there every time."""
        return [one for one in self.differences if one.steady]


class Side:
    """
    One broker, and connections to it that are kept from sequence to sequence.

    Args:
        address: ``host:port``.
        versions: What may be asked.
    """

    def __init__(self, address: str, versions: Versions) -> None:
        self._address = address
        self._versions = versions
        self._clients: list[Connection] = []

    def observe(self, operations: Sequence[Operation]) -> list[Any]:
        """Run a sequence under new names and return its observations."""
        if not self._clients:
            self._clients = [Connection(self._address, f"client-{i}") for i in range(CLIENTS)]
        # Unlike every text of a plan, so that it can be taken out of answers.
        prefix = f"{uuid.uuid4().hex}."
        start_ms = int(time.time() * 1000) - AGE_MS
        world = World(self._clients, self._versions, prefix, start_ms)
        seen: list[Any] = []
        try:
            for name, arguments in operations:
                seen.append(OPERATIONS[name](world, **arguments))
            world.clean_up()
        except OSError as exc:
            # A broker that ends a connection says that as an answer, too; how it ends it is chance.
            timed_out = isinstance(exc, TimeoutError)
            seen.append("no answer" if timed_out else "connection closed")
            self.close()
        return json.loads(json.dumps(seen))  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close its connections."""
        for client in self._clients:
            client.close()
        self._clients = []


class Pair:
    """The embedded broker and Apache Kafka."""

    def __init__(self, embedded: str, kafka: str, versions: Versions) -> None:
        self._ours = Side(embedded, versions)
        self._theirs = Side(kafka, versions)

    def run(self, seed: int) -> tuple[list[Operation], Difference | None]:
        """Run the sequence of a seed on both; a difference is made as short as it gets."""
        operations = Plan(seed).operations()
        found = self._differ(operations)
        if found is None:
            return operations, None
        at, ours, theirs = found
        again = self._differ(operations)
        if again is None:
            return operations, Difference(seed, operations[: at + 1], ours, theirs, steady=False)
        return operations, self._shorten(seed, operations, again)

    def _differ(self, operations: Sequence[Operation]) -> tuple[int, Any, Any] | None:
        ours, theirs = self._ours.observe(operations), self._theirs.observe(operations)
        for at, (one, other) in enumerate(itertools.zip_longest(ours, theirs)):
            if one != other:
                return at, one, other
        return None

    def _shorten(
        self, seed: int, operations: list[Operation], found: tuple[int, Any, Any]
    ) -> Difference:
        end = time.monotonic() + SHRINK_S
        left = operations[: found[0] + 1]
        kind = left[-1][0]
        at = len(left) - 2
        while at >= 0 and time.monotonic() < end:
            fewer = left[:at] + left[at + 1 :]
            differs = self._differ(fewer)
            if differs is not None and fewer[differs[0]][0] == kind:
                left, found = fewer[: differs[0] + 1], differs
            at = min(at, len(left) - 1) - 1
        return Difference(seed, left, found[1], found[2], steady=True)

    def close(self) -> None:
        """Close the connections."""
        self._ours.close()
        self._theirs.close()


def warm(address: str, versions: Versions) -> None:
    """Wait until every partition of the broker's own topics is served."""
    client = Connection(address, "warm")
    end = time.monotonic() + WARM_S
    waiting = [f"{kind} {number}" for kind in ["group", "transaction"] for number in range(40)]
    while waiting and time.monotonic() < end:
        waiting = [one for one in waiting if codes(_touch(client, versions, one)) & {*NOT_YET, -1}]
        time.sleep(0.05)
    client.close()


def _touch(client: Connection, versions: Versions, name: str) -> Any:
    is_group = name.startswith("group")
    # The first question for a coordinator is what makes the topics of a new Kafka.
    found = client.ask("FindCoordinator", 2, {"key": name, "key_type": int(not is_group)})
    if found["error_code"]:
        return found
    if is_group:
        fields = {"group_id": name, "topics": [], "require_stable": False}
        return client.ask("OffsetFetch", 7, fields)
    if "DescribeTransactions" not in versions:
        return {}
    return client.ask("DescribeTransactions", 0, {"transactional_ids": [name]})


def _work(
    embedded: str, kafka: str, versions: Versions, seeds: Sequence[int]
) -> tuple[int, Counter[str], list[Difference]]:
    """Run seeds in a process of its own."""
    pair = Pair(embedded, kafka, versions)
    count: Counter[str] = Counter()
    differences = []
    for seed in seeds:
        operations, difference = pair.run(seed)
        count.update(one[0] for one in operations)
        if difference is not None:
            differences.append(difference)
    pair.close()
    return len(seeds), count, differences


def compare(
    embedded: str, kafka: str, seeds: Sequence[int], *, jobs: int = 0, most: int = 10
) -> Iterator[Result]:
    """
    Run sequences on both brokers; yield what is known so far, in the end everything.

    Args:
        embedded: Address of the embedded broker.
        kafka: Address of Apache Kafka.
        seeds: A sequence each.
        jobs: Processes; 0 for one more than there are processors.
        most: Stop after so many differences.
    """
    versions = common_versions([embedded, kafka])
    for address in (embedded, kafka):
        warm(address, versions)
    jobs = jobs or (os.cpu_count() or 1) + 1
    size = max(1, min(20, len(seeds) // jobs))
    parts = [seeds[at : at + size] for at in range(0, len(seeds), size)]
    result = Result()
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        work = [(embedded, kafka, versions, part) for part in parts]
        for count, operations, differences in pool.imap_unordered(_work_of, work):
            result.sequences += count
            result.operations.update(operations)
            result.differences += differences
            yield result
            if len(result.differences) >= most:
                return


def _work_of(
    given: tuple[str, str, Versions, Sequence[int]],
) -> tuple[int, Counter[str], list[Difference]]:
    return _work(*given)
