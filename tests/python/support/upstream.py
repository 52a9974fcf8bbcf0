"""A producer in front of an app that writes in transactions."""

from confluent_kafka import Producer

from support.kafka import Cluster


class Upstream:
    """Writes in transactions."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self._topic = topic
        settings = {"bootstrap.servers": cluster.address, "transactional.id": f"upstream-{topic}"}
        self._producer = Producer(settings)
        self._producer.init_transactions(20)

    def write(self, rows: range, *, partition: int = 0, commits: bool = True) -> None:
        """Write *rows* in one transaction, and end it."""
        self._producer.begin_transaction()
        for n in rows:
            value = b'{"n": %d}' % n
            self._producer.produce(self._topic, value, key=str(n), partition=partition)
        # What is not sent yet, an abort would only forget.
        self._producer.flush(20)
        end = self._producer.commit_transaction if commits else self._producer.abort_transaction
        end(20)

    def write_and_die(self, rows: range, *, partition: int = 0) -> None:
        """Write *rows* in a transaction that nobody ends, as who is killed does."""
        self._producer.begin_transaction()
        for n in rows:
            self._producer.produce(self._topic, b'{"n": %d}' % n, partition=partition)
        self._producer.flush(20)
