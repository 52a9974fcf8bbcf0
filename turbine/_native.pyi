"""
The Rust core, as Python sees it.

Internal: `turbine` wraps all of it. Byte strings are Kafka bytes, times are in ms unless a name
says otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, Self, TypeAlias, final

from turbine._native_follower import Follower as Follower
from turbine._native_joins import Join as Join
from turbine._native_joins import Steps as Steps
from turbine._native_operator import LocalState as LocalState
from turbine._native_operator import is_beginning as is_beginning
from turbine._native_operator import receipt as receipt
from turbine._native_snapshots import Snapshots as Snapshots
from turbine._native_state import State as State
from turbine._native_state import Undo as Undo
from turbine._native_stored import StoredState as StoredState
from turbine._native_tables import Cursor as Cursor
from turbine._native_tables import Table as Table
from turbine._native_tables import TableCodec as TableCodec
from turbine._native_tables import Turn as Turn
from turbine._native_tables import Visit as Visit

__version__: Final[str]
build_profile: Final[str]
"""``"release"`` or ``"debug"``."""

class ArrowRows(Protocol):
    """What has ``__arrow_c_array__`` or ``__arrow_c_stream__``."""

class ArrowSchemaExportable(Protocol):
    def __arrow_c_schema__(self) -> object: ...

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
_Name: TypeAlias = str | None

@final
class EmbeddedBroker:
    """A Kafka-protocol broker inside this process, on loopback."""

    def __new__(
        cls,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        data_dir: str | None = None,
        default_partitions: int = 4,
        auto_create_topics: bool = True,
        nodes: int = 1,
        advertised: str | None = None,
        retention_bytes: int | None = None,
        memory_bytes: int | None = ...,
        initial_rebalance_delay_ms: int = 0,
        consumer_heartbeat_interval_ms: int = 5_000,
        consumer_session_timeout_ms: int = 45_000,
        tls: bool | tuple[str, str] | tuple[str, str, str] | None = None,
        verify_clients: bool = False,
        users: Mapping[str, str] | None = None,
        mechanisms: Sequence[str] | None = None,
        clock: Clock | None = None,
        schema_registry: bool | int | None = None,
    ) -> Self:
        """Start; the meaning of the keywords is in docs/guides/broker.md.
        *tls* is True for certificates made at the start, or the paths of certificate, key and, if
        clients must show one, the authorities of clients. *users* are names and passwords.
        """
    @property
    def address(self) -> str:
        """``host:port`` to give to clients; of several nodes all, with commas between."""
    @property
    def schema_registry(self) -> SchemaRegistry | None:
        """The schema registry that was started with it: True, or a port, as *schema_registry*."""
    @property
    def schema_registry_url(self) -> str | None: ...
    @property
    def addresses(self) -> list[str]:
        """``host:port`` of every node, of node 1 first."""
    def stop(self) -> None:
        """Close every connection and the log; idempotent."""
    @property
    def ca_certificate(self) -> str | None:
        """Certificate, in PEM, that clients have to trust, if one was made at the start."""
    @property
    def client_certificate(self) -> tuple[str, str] | None:
        """Certificate and key, in PEM, for clients, if they were made at the start."""
    def topics(self) -> dict[str, int]:
        """Topic name to partition count."""
    def records(
        self,
        topic: str,
        partition: int | None = None,
        start: int = 0,
        limit: int | None = None,
        *,
        committed: bool = True,
    ) -> list[tuple[int, int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
        """(partition, offset, timestamp in ms, key, value, headers) of records, without a client.
        *committed* leaves out what is in open or aborted transactions, as consumers do by default.
        """
    def groups(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Group id to its state and its members, member id to ``client.id``."""
    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """(topic, partition) to the committed offset."""
    def down(self, node: int) -> None:
        """Take a node down, as if killed; what it leads moves to others where there are any."""
    def up(self, node: int) -> None:
        """Bring a node back where it was."""
    def rebalance(self, group: str | None = None) -> int:
        """Make the members of a group, or of every group, share anew; the number of groups."""
    def expire_member(self, group: str, member: str) -> int:
        """Take members out by member id, instance id or ``client.id``; how many there were."""
    def fail(
        self,
        api: str,
        error: str | int,
        times: int | None = 1,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Answer the next *times* matching requests with a Kafka error; they have no effect.
        *api* is the name of a request, or ``"*"``; *error* a name as ``"NOT_LEADER_OR_FOLLOWER"``.
        With None as *times* it happens until `clear_faults`. *topic* and *client* (``client.id``)
        narrow it down.
        """
    def delay(
        self,
        api: str,
        ms: int,
        times: int | None = None,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Let requests, and what their connection sends behind them, wait for *ms* of the clock."""
    def drop_response(
        self, api: str, times: int | None = 1, *, topic: _Name = None, client: _Name = None
    ) -> Fault:
        """Serve the next requests, but close their connections instead of answering."""
    def disconnect(
        self, api: str, times: int | None = 1, *, topic: _Name = None, client: _Name = None
    ) -> Fault:
        """Close the connections of the next requests, which have no effect."""
    def hold(self, api: str = "*", *, topic: str | None = None, client: str | None = None) -> Fault:
        """Let requests wait until `release`; then they are served, even if the client has gone."""
    def release(self) -> None:
        """Let everything that is held go on."""
    def faults(self) -> list[Fault]:
        """Every rule since the last `clear_faults`, with its hits."""
    def clear_faults(self) -> None:
        """Let nothing go wrong any more, and everything that is held go on."""

@final
class SchemaRegistry:
    """A schema registry with Confluent's API inside this process, for development and tests."""

    def __new__(
        cls,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        data_dir: str | None = None,
        users: Mapping[str, str] | None = None,
    ) -> Self: ...
    @property
    def url(self) -> str: ...
    def set_down(self, is_down: bool, /) -> None:
        """From now on every request is answered with 503, or served again."""
    def stop(self) -> None:
        """End it; idempotent."""

@final
class FaultProxy:
    """A proxy between clients and a cluster, on loopback, that lets things go wrong on purpose.
    Give `address` to clients; the nodes that the cluster names become listeners of the proxy.
    """

    def __new__(cls, upstream: str, /) -> Self:
        """*upstream* is ``host:port``, or several with commas between."""
    @property
    def address(self) -> str: ...
    @property
    def connections(self) -> int:
        """Connections that clients have through the proxy."""
    def fail(
        self,
        api: str,
        error: str | int,
        times: int | None = 1,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Answer the next requests with a Kafka error; they do not arrive, but for Metadata."""
    def delay(
        self,
        api: str,
        ms: int,
        times: int | None = None,
        *,
        topic: str | None = None,
        client: str | None = None,
        direction: str = "requests",
    ) -> Fault:
        """Let requests, responses or both wait for *ms*, and what comes behind them."""
    def drop_response(
        self, api: str, times: int | None = 1, *, topic: _Name = None, client: _Name = None
    ) -> Fault:
        """Let the next requests through, but close their connections instead of the responses."""
    def disconnect(
        self, api: str, times: int | None = 1, *, topic: _Name = None, client: _Name = None
    ) -> Fault:
        """Close the connections of the next requests, which do not arrive."""
    def hold(
        self,
        direction: str = "both",
        api: str = "*",
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Let ``"requests"``, ``"responses"`` or ``"both"`` wait until `release`."""
    def release(self) -> None:
        """Let everything that is held go on, even what clients sent that have gone."""
    def reset(self) -> None:
        """Reset all connections; clients may connect again."""
    def cut(self) -> None:
        """Reset all connections, and every new one; once it has returned, nothing goes through."""
    def restore(self) -> None:
        """Take `cut` back."""
    def faults(self) -> list[Fault]:
        """Every rule since the last `clear_faults`, with its hits."""
    def clear_faults(self) -> None:
        """Let nothing go wrong any more, and everything that is held go on."""
    def close(self) -> None:
        """End the proxy with all its connections; idempotent."""

@final
class Fault:
    """Something that goes wrong on purpose, and how often it did."""

    @property
    def action(self) -> str:
        """Name of the method that made it, as ``"fail"``."""
    @property
    def api(self) -> str: ...
    @property
    def topic(self) -> str | None: ...
    @property
    def client(self) -> str | None: ...
    @property
    def times(self) -> int | None: ...
    @property
    def hits(self) -> int:
        """To how many requests it has happened."""
    def remove(self) -> None:
        """Let it happen no more, and what it holds go on."""

@final
class Clock:
    """Time that stands still until it is advanced; what uses the clock shares it."""

    def __new__(cls, start: float = 0.0) -> Self:
        """*start* is in seconds since the Unix epoch."""
    def advance(self, seconds: float) -> None: ...
    def now(self) -> float:
        """Seconds since the Unix epoch."""
    def now_ms(self) -> int: ...

@final
class Admin:
    """Topics and groups of a cluster. Every call blocks without the GIL, at most *timeout_ms*."""

    def __new__(cls, brokers: str, kafka: dict[str, str], /) -> Self: ...
    def list_topics(self, timeout_ms: int = 10_000) -> dict[str, int]:
        """Topic name to partition count, internal topics left out."""
    def create_topics(
        self,
        topics: dict[str, int],
        replication: int = -1,
        config: dict[str, str] | None = None,
        timeout_ms: int = 10_000,
    ) -> list[str]:
        """Create what is missing; the names that were created."""
    def watermarks(self, topic: str, timeout_ms: int = 10_000) -> dict[int, tuple[int, int]]:
        """Partition to (oldest offset, end offset)."""
    def identity(self, topic: str, timeout_ms: int = 10_000) -> tuple[str | None, str | None]:
        """Ids of the cluster and of the topic, as far as the broker says."""
    def committed(self, group: str, topic: str, timeout_ms: int = 10_000) -> dict[int, int]:
        """Partition to the next offset that *group* will read; without those never committed."""
    def rebalance(self, group: str, other: str, timeout_ms: int = 10_000) -> None:
        """Join *group*, reading the topic *other* that nobody there reads, and leave it again."""
    def members(self, group: str, timeout_ms: int = 10_000) -> list[str]: ...
    def group_offsets(
        self, group: str, topic: str, timeout_ms: int = 10_000
    ) -> dict[int, tuple[int, str]]:
        """As `committed`, with the text beside each offset."""
    def set_group_offsets(
        self, group: str, topic: str, offsets: dict[int, tuple[int, str]]
    ) -> None: ...
    def delete_group(self, group: str, timeout_ms: int = 10_000) -> bool: ...
    def delete_topics(self, topics: list[str], timeout_ms: int = 10_000) -> list[str]: ...
    def cluster(self, timeout_ms: int = 10_000) -> tuple[int, str]:
        """(number of brokers, name of the first); raises `KafkaError` when none answers."""

@final
class Delivery:
    """The acknowledgement of one sent record: awaitable, or asked with `result`."""

    def done(self) -> bool: ...
    def result(self, timeout_ms: int = 30_000) -> tuple[str, int, int, int]:
        """(topic, partition, offset, timestamp); blocks without the GIL; raises `SendError`."""
    def add_done_callback(self, callback: Callable[[Delivery], object], /) -> None:
        """Call *callback* from a core thread once acknowledged or failed."""

@final
class Producer:
    """Idempotent producer; one for each running app or client."""

    def __new__(cls, brokers: str, kafka: dict[str, str], buffer_bytes: int, /) -> Self: ...
    def send(
        self,
        topic: str,
        key: Any,
        value: Any,
        partition: int = -1,
        timestamp_ms: int = -1,
        headers: Headers | None = None,
    ) -> Delivery | None:
        """Encode and enqueue a record; None if the buffer is full (`wait_room`, then send again).
        Key and value: None, bytes and str go as they are, int as decimal text; dict, list, float,
        bool and pydantic models as JSON.
        """
    def wait_room(self, timeout_ms: int) -> bool:
        """Block without the GIL until there is room."""
    def flush(self, timeout_ms: int) -> int:
        """Block without the GIL until all is acknowledged; the number of records that are not."""

@final
class Batch:
    """Rows of one partition on their way through a subscription's handler."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def watermark_ms(self) -> int | None:
        """The watermark in front of the first row; None before any event time."""
    @property
    def first_offset(self) -> int: ...
    @property
    def is_replay(self) -> bool:
        """Whether the outputs of these rows were written before, and are not written again."""
    @property
    def is_silence(self) -> bool:
        """Whether there are no rows, and only windows to close because nothing came for a while."""
    def to_arrow(self) -> Any:
        """`pyarrow.RecordBatch` over the same memory."""
    def results(self) -> list[tuple[str, Any]] | None:
        """Results of the windows in front of the handler, with their names; None for rows."""
    def state(self) -> State | None:
        """The state of the handler, if it keeps any."""
    def savepoint(self) -> Undo: ...
    def next_timer(self) -> tuple[str, State] | None:
        """The next timer that is due, disarmed, and the state that it was set on."""
    def feed(self, feeds: list[tuple[int, Any]], /) -> list[tuple[str, Any]]:
        """Give rows to windows, by their index, and close what is due; once, after the handler.
        Results come back with the names of their windows.
        """
    def complete(
        self, outputs: list[tuple[int | None, Any]], bad_rows: list[tuple[int, str]] = ..., /
    ) -> None:
        """Encode and produce *outputs*, then let the offset move.
        Each output has the index of its side output, or None; *bad_rows* are (row, error) of rows
        that the handler could not take.
        """
    def fail(self, message: str, /) -> None:
        """Stop the partition in front of this batch."""

@final
class Worker:
    """One process of an app: consumers, tasks, producer, HTTP server."""

    def __new__(cls, config: str, /, clock: Clock | None = None) -> Self:
        """*config* is the JSON of `WorkerConfig` (src/config.rs).
        Rows of a subscription wait for more rows as long as *clock* says.
        """
    def set_schema(self, subscription: str, schema: ArrowSchemaExportable | None, /) -> None:
        """Schema of a subscription, before `start`; None infers it."""
    def set_decoder(
        self, agent: str, key: Any, value: Any, batch_schema: ArrowSchemaExportable | None, /
    ) -> None:
        """How an agent's keys and values become Python objects.
        ``"raw"`` bytes, ``"str"``, ``"int"``, ``"json"``, or a pydantic ``SchemaValidator``.
        """
    def start(self) -> None:
        """Connect, join the groups, serve HTTP; raises `BrokerUnavailable` without a broker."""
    @property
    def producer(self) -> Producer: ...
    @property
    def http_address(self) -> str | None: ...
    def wake_fd(self) -> int:
        """File descriptor that becomes readable when there is something new."""
    def clear_wake(self) -> None:
        """Call when it is readable, before looking."""
    def events(self) -> list[dict[str, Any]]:
        """What happened since the last call; "kind" is "assigned", "revoked", "failed", ..."""
    def next_batch(self, subscription: str, timeout_ms: int) -> Batch | None:
        """Block without the GIL for the next batch; raises `WorkerStopped` once drained."""
    def try_next_batch(self, subscription: str) -> Batch | None: ...
    def next_cursor(self, agent: str, index: int) -> Cursor | None:
        """Rows for instance *index* of *agent*, if any; raises `WorkerStopped` once drained."""
    def table(self, name: str, codec: TableCodec, /) -> Table:
        """The table that was declared as *name*."""
    def read_also(self, agent: str, topics: dict[str, int], /) -> None:
        """Let *agent* read more topics, each with its number of partitions."""
    def visit(self, topic: str, partition: int, timeout_ms: int, /) -> Visit | None:
        """A turn without a record; None if the partition is not here, or commits for so long.
        Blocks without the GIL, at most *timeout_ms*.
        """
    def ahead(self, topic: str, partition: int, /) -> tuple[int, bool] | None:
        """(end offset, whether all in front of it is done); None while something is under way.
        Asks the broker, without the GIL.
        """
    def behind(self) -> list[tuple[str, int]]:
        """Partitions of agents in which something is written and not committed."""
    def agent_failed(self, agent: str, message: str, /) -> None:
        """The agent's coroutine is over; its partitions stop."""
    def stop(self) -> None:
        """Stop polling; what has been handed out can still complete. Returns at once."""
    def join(self, timeout_ms: int) -> list[str]:
        """Wait without the GIL until drained and committed; names of what hangs."""
    def close(self) -> None:
        """End the last threads of a worker that has been joined."""
    def kill(self) -> None:
        """Let go of everything at once: nothing more is committed."""
    def assignments(self) -> list[dict[str, Any]]: ...
    def health(self) -> list[str]:
        """Reasons why the worker is not well; empty if it is."""
    def ready(self) -> list[str]: ...
    def note_lookups(
        self, lookup: str, hits: int, misses: int, errors: int, seconds: list[float], /
    ) -> None: ...
    def metrics(self) -> str: ...

def take_logs() -> list[tuple[int, str, str]]:
    """Take the core's log lines since the last call: (level, logger, text)."""

def set_log_level(level: int) -> None:
    """Keep log lines from *level* on, a level of `logging`."""

def encode_json(value: Any, /) -> bytes:
    """JSON of a Python value, as `Producer.send` writes it."""

def partition_for(key: bytes, partitions: int, /) -> int:
    """Partition that Kafka's standard partitioner chooses."""

def aggregate(rows: ArrowRows, keys: Sequence[str], specs: str, time: str | None = None, /) -> Any:
    """`pyarrow.RecordBatch`, one row each group: the keys, then the aggregates; *specs* is JSON."""

@final
class Expression:
    """An expression of `turbine.functions`, parsed."""

    def __new__(cls, tree: str, /) -> Self: ...
    @property
    def columns(self) -> list[str]: ...
    def check(self, schema: ArrowSchemaExportable, /) -> Any:
        """`pyarrow.DataType` of its values; raises `DeclarationError`."""
    def evaluate(self, batch: Any, strict: bool = False, /) -> tuple[Any, int]:
        """(`pyarrow.Array`, values that could not be computed); *strict* raises instead."""
    def filter(self, batch: Any, strict: bool = False, /) -> tuple[Any, int]:
        """(`pyarrow.RecordBatch` of the rows where it is true, as `evaluate`)."""

@final
class Splitter:
    """The predicates of the branches of one subscription."""

    def __new__(cls, predicates: Sequence[str], /) -> Self: ...
    def split(self, rows: Any, strict: bool = False, /) -> tuple[list[tuple[int, Any]], int]:
        """(branch, its rows), the rest as one more branch; failures as `Expression.evaluate`."""

def explode(batch: Any, column: str, keep_empty: bool, /) -> Any:
    """A row for each element of a list column."""

def shard_rows(batch: Any, column: str, shards: int, /) -> list[Any | None]:
    """Rows by the hash of their key; None for a shard without rows."""

def group_rows(batch: Any, column: str, /) -> tuple[Any, list[str | bytes], list[int]]:
    """Rows side by side by their key, the keys, and where each begins."""

def shard_of(key: str | bytes, shards: int, /) -> int: ...
def register_aggregate(name: str, aggregate: Any, /) -> None:
    """Make aggregates ``custom`` with the option *name* by calling *aggregate*'s methods."""
