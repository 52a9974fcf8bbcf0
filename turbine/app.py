"""
An app: its declarations and settings. What runs is built when it starts.

Nothing here belongs to an event loop, so a module that declares an app can be imported anywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta, tzinfo
from typing import Any, TypeVar, overload

from turbine import _declare, _discover
from turbine._app_pages import AppPages
from turbine._app_tables import AppTables
from turbine._event_time import EVENT_TIME_OPTIONS
from turbine._lifecycle import Lifecycle
from turbine._line_options import LineOptions
from turbine._recovery import refuse_on_agents
from turbine.agents import Agent, Sink, Source
from turbine.channels import Channel
from turbine.exceptions import DeclarationError
from turbine.policies import Retry
from turbine.settings import Settings
from turbine.subscriptions import Subscription, Tombstones
from turbine.timers import Clock, Crontab, Job, SystemClock, Task, Timer
from turbine.topics import Pending, Topic
from turbine.types import HeadersArg, OnError

__all__ = ["App", "Turbine"]

F = TypeVar("F", bound=Callable[..., Any])
J = TypeVar("J", bound=Job)

TOPIC_OPTIONS = frozenset(
    {
        *EVENT_TIME_OPTIONS,
        "key_format",
        "value_format",
        "partitions",
        "replicas",
        "retention",
        "compacting",
        "deleting",
        "config",
        "internal",
        "pattern",
    }
)
_WRITE_OPTIONS = ("write_metadata", "write_tombstones")
_AGENT_OPTIONS = frozenset(
    {
        "name",
        "concurrency",
        "sink",
        "on_error",
        "dlq",
        "key_type",
        "value_type",
        "partitions",
        "processing_guarantee",
        "isolated_partitions",
        "restarts_all",
    }
)
_SUBSCRIBE_OPTIONS = frozenset(
    {
        *LineOptions.__annotations__,
        "avro_schema",
        "publish_to",
        "model",
        "batch_size",
        "batch_timeout_ms",
        "message_key",
        "with_metadata",
        "write_metadata",
        "write_tombstones",
        "on_error",
        "dlq",
        "name",
        "tombstones",
        "processing_guarantee",
    }
)


class App(AppTables, AppPages, Lifecycle):
    """
    A stream-processing application.

    ::

        app = turbine.App("orders", broker="kafka://localhost:9092")

        @app.agent("orders", value_type=Order)
        async def handle(orders):
            async for order in orders:
                print(order.amount)

    Args:
        id: Names consumer groups and internal topics; ``app_id`` means the same.
        broker: Addresses, ``"kafka://a:9092,b:9092"`` or a list; ``brokers`` means the same.
        kafka: Settings of the Kafka client (librdkafka), by its names: TLS, SASL, fetch sizes.
        **settings: Everything else; see `turbine.settings`. An unknown one is a warning.

    Attributes:
        conf: Settings.
        agents: Agents by name.
        subscriptions: Subscriptions by name.
        topics: Topics by name, as declared first.
        tables: Tables by name.
        jobs: Tasks, timers and crontabs.
        clock: Where timers and crontabs read the time; ``app.clock.now(UTC)`` gives it to handlers,
            so that a test can turn it.
    """

    _settings: type[Settings] = Settings

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - the word that programs use
        *,
        broker: str | Sequence[str] | None = None,
        kafka: Mapping[str, str | int | float | bool] | None = None,
        **settings: Any,
    ) -> None:
        given = {"id": id, "broker": broker, "kafka": kafka}
        self.conf = self._settings(**{k: v for k, v in given.items() if v is not None}, **settings)
        self.agents: dict[str, Agent] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.topics: dict[str, Topic] = {}
        self.jobs: list[Job] = []
        self.clock: Clock = SystemClock()
        super().__init__()
        self._module = _discover.calling_module()

    # -- declarations ----------------------------------------------------------------------

    def topic(
        self, *names: str, key_type: Any = None, value_type: Any = None, **options: Any
    ) -> Topic:
        """
        Declare a topic.

        Args:
            *names: Topic names; several are for reading only. Without one, **pattern** is a
                regular expression that the whole name of a topic has to fit: an agent reads them
                all, also those that come later.
            key_type: ``bytes`` (None), ``str``, ``int``, ``dict`` or a model.
            value_type: Of any shape (None), ``str``, ``bytes``, ``int``, ``dict`` or a model.
            **options: What the topic is created with if it is missing: ``partitions``,
                ``replicas``, ``retention`` (seconds), ``compacting``, ``deleting``, ``config``,
                ``internal``. **value_format** and **key_format**: ``"json"``, ``"avro"``,
                ``"protobuf"``, ``"msgpack"``, ``"csv"``, ``"arrow"``, ``"raw"``, ``"string"``, or
                one of `turbine.codecs` with its choices. **event_time**, **event_time_unit**,
                **out_of_orderness**, **idle_close**: for subscriptions that read it, which may
                say so themselves; see `subscribe`.

        Raises:
            DeclarationError: Kafka refuses the name, or an option does not exist.
        """
        known = {*TOPIC_OPTIONS, "key_type", "value_type"}
        _declare.refuse_unknown("app.topic", options.keys() - known, known)
        return self._add_topic(
            Topic(self, names, key_type=key_type, value_type=value_type, **options)
        )

    def _add_topic(self, topic: Topic) -> Topic:
        """Remember a topic by its names, the first with a type before others."""
        for name in topic.names:
            before = self.topics.get(name)
            if before is None or (before.value_type is None and before.partitions is None):
                self.topics[name] = topic
        return topic

    def channel(
        self,
        *,
        name: str = "channel",
        key_type: Any = None,
        value_type: Any = None,
        maxsize: int | None = None,
    ) -> Channel:
        """Declare an in-process queue; *maxsize* values wait before a sender waits."""
        return Channel(self, name=name, key_type=key_type, value_type=value_type, maxsize=maxsize)

    @overload
    def agent(self, channel: Callable[..., Any], /) -> Agent: ...
    @overload
    def agent(
        self,
        channel: Source = None,
        /,
        *,
        name: str | None = None,
        concurrency: int = 1,
        sink: Sink | Sequence[Sink] = (),
        on_error: str | Retry = "fail",
        dlq: str | Topic | None = None,
        key_type: Any = None,
        value_type: Any = None,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Agent]: ...
    def agent(self, channel: Any = None, /, **options: Any) -> Any:
        """
        Declare an agent: ``async def f(stream)``, called once for each instance.

        Args:
            channel: Topic name, topic or channel that it reads; None: ``{app.id}-{name}``.
            **options: **name** (``module.function``); **concurrency**, instances of which each key
                meets one; **sink**, where yielded values go: topics, channels, agents, functions;
                **on_error**, ``"fail"`` stops the partition in front of a bad record or failing
                event, ``"skip"`` counts it, ``"dlq"`` sends it to the topic **dlq**, ``"crash"``
                ends the worker; in front of each, `turbine.policies.Retry` tries again;
                **isolated_partitions**, an instance for each partition; **restarts_all**, call
                all instances again when one has failed;
                **key_type** and **value_type** as in `topic`; **partitions** of a created topic.

        Raises:
            DeclarationError: The declaration cannot work; the message says what to write.
        """
        if callable(channel) and not isinstance(channel, Topic | Channel):
            return self._add_agent(Agent(self, channel))
        refuse_on_agents(options)
        _declare.refuse_unknown("app.agent", options.keys() - _AGENT_OPTIONS, _AGENT_OPTIONS)
        return lambda fn: self._add_agent(Agent(self, fn, channel, **options))

    def subscribe(
        self,
        source: str | Topic,
        /,
        *,
        publish_to: str | Topic | None = None,
        model: Any = None,
        batch_size: int = 10_000,
        batch_timeout_ms: int = 250,
        message_key: str | None = None,
        with_metadata: Sequence[str] = (),
        on_error: OnError = "fail",
        dlq: str | Topic | None = None,
        name: str | None = None,
        tombstones: Tombstones = "error",
        **options: Any,
    ) -> Callable[[F], F]:
        """
        Declare a subscription: ``def f(batch: pyarrow.RecordBatch)``, sync or async.

        The function returns a batch, or anything with ``__arrow_c_array__``, or None. With a second
        parameter ``ctx`` it gets a `turbine.context.Context`. A class is instantiated once a
        worker and its ``process(self, batch)`` called. Behind the batch may stand ``state``, a
        `turbine.State`, and ``ctx``. ``(key, rows)``, or ``process_key(self, key, rows)``, is
        called once for each value of *partition_key* in a batch.

        Args:
            source: Topic that it reads.
            publish_to: Topic that returned rows go to, in its format.
            model: pydantic model that gives the schema; without one the schema is inferred.
            batch_size: Most rows of a batch.
            batch_timeout_ms: Longest time that rows wait for more while the function is busy.
            message_key: Column whose value becomes the key of the output record.
            with_metadata: Columns to add: ``key``, ``topic``, ``partition``, ``offset``,
                ``timestamp``, ``headers``; the batch has them as ``_key`` and so on. They never
                reach the output.
            on_error: Policy for bad records and a failing function, as for agents.
            dlq: Topic for dead letters, with ``on_error="dlq"``.
            name: Names its consumer group; the function's name if None.
            tombstones: ``"error"``: a record without a value is bad; ``"null"``: a row of nulls.
            **options: **avro_schema**, schema to read Avro with (framed as single objects, unless
                the topic's format says otherwise); **write_metadata**, which of ``headers``,
                ``timestamp`` and ``partition`` the records written have, each from the column
                ``_headers`` and so on of the batch returned; **write_tombstones**, whether a row
                of nothing but nulls beside its key is a tombstone; ``processing_guarantee``;
                **event_time**,
                **window** and their companions as `turbine._line_options.LineOptions` says.

        Returns:
            A decorator that leaves the function as it is.

        Raises:
            DeclarationError: The declaration cannot work; the message says what to write.
        """
        if callable(source):
            raise DeclarationError("a subscription names its topic: write @app.subscribe('orders')")
        _declare.refuse_unknown(
            "app.subscribe",
            options.keys()
            - {
                *LineOptions.__annotations__,
                *_WRITE_OPTIONS,
                "avro_schema",
                "processing_guarantee",
            },
            _SUBSCRIBE_OPTIONS,
        )

        def declare(fn: F) -> F:
            one = Subscription(
                self,
                fn,
                source,
                publish_to=publish_to,
                model=model,
                batch_size=batch_size,
                batch_timeout_ms=batch_timeout_ms,
                message_key=message_key,
                with_metadata=with_metadata,
                on_error=on_error,
                dlq=dlq,
                name=name,
                tombstones=tombstones,
                **options,
            )
            self._check_free("subscription", one.name)
            self.subscriptions[one.name] = one
            return fn

        return declare

    @overload
    def task(self, fn: Callable[..., Any], /) -> Task: ...
    @overload
    def task(
        self, /, *, name: str | None = None, on_leader: bool = False
    ) -> Callable[[Callable[..., Any]], Task]: ...
    def task(self, fn: Any = None, /, *, name: str | None = None, on_leader: bool = False) -> Any:
        """
        Declare ``async def f()`` or ``async def f(app)`` to be run once after the start.

        With *on_leader* it runs when the worker becomes the leader first; see `is_leader`.
        """
        if fn is not None:
            return self._add_job(Task(self, fn, name=name))
        return lambda fn: self._add_job(Task(self, fn, name=name, on_leader=on_leader))

    def timer(
        self, interval: float | timedelta, *, name: str | None = None, on_leader: bool = False
    ) -> Callable[[Callable[..., Any]], Timer]:
        """Declare ``async def f()`` or ``async def f(app)`` to be run every *interval* seconds."""
        return lambda fn: self._add_job(Timer(self, fn, interval, name=name, on_leader=on_leader))

    def crontab(
        self,
        expression: str,
        /,
        *,
        timezone: tzinfo | str | None = None,
        tz: tzinfo | str | None = None,
        name: str | None = None,
        on_leader: bool = False,
    ) -> Callable[[Callable[..., Any]], Crontab]:
        """
        Declare ``async def f()`` or ``async def f(app)`` to be run at times that a cron line names.

        Args:
            expression: ``minute hour day month weekday``, as ``"30 4 * * mon-fri"``.
            timezone: Time zone of the fields; the app's ``timezone`` setting if None.
            tz: Another word for it.
            name: ``module.function`` if None.
            on_leader: Whether only the leader runs it; see `is_leader`.
        """
        zone = timezone if timezone is not None else tz
        return lambda fn: self._add_job(
            Crontab(self, fn, expression, timezone=zone, name=name, on_leader=on_leader)
        )

    def config_from_object(self, source: object) -> None:
        """Take settings from a module, its name, a dict or an object; keywords of `App` win."""
        self.conf.update_from_object(_discover.load_object(source))

    def stream(self, source: str | Topic | Channel, *, model: Any = None, **options: Any) -> Any:
        """
        Declare a stream that no agent has: ``async for value in stream`` in a task, or in an agent.

        Or write expressions over its columns, as ``stream.filter(col("a") > 0)``: then it is the
        beginning of a plan that stays in the core; see `turbine.flows`.

        Args:
            source: What it reads. Rows of a topic are done as those of an agent, in its group; a
                worker that does not ask for them commits nothing of theirs.
            model: Model of its values; a plan needs one.
            **options: Of the topic, as in `topic`: **event_time** and its companions,
                **value_format**, **key_format**; and **keyed_by**, the column whose value the
                records have as their key, so that a plan need not write them once more.

        Raises:
            DeclarationError: It is a topic, and a worker runs already.
        """
        from turbine._readers import make_stream

        return make_stream(self, source, {"model": model, **options})

    # -- sending ---------------------------------------------------------------------------

    async def send(
        self,
        channel: str | Topic | Channel | Agent,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
    ) -> Any:
        """Send to a topic, given by name or object, a channel or an agent; see `Topic.send`."""
        target = self._target(channel)
        return await target.send(
            key=key, value=value, partition=partition, timestamp=timestamp, headers=headers
        )

    def send_soon(
        self,
        channel: str | Topic | Channel | Agent,
        value: Any = None,
        *,
        key: Any = None,
        **options: Any,
    ) -> Pending | Any:
        """Send from a plain function; see `Topic.send_soon`."""
        return self._target(channel).send_soon(key=key, value=value, **options)

    # -- inside ----------------------------------------------------------------------------

    def _target(self, channel: str | Topic | Channel | Agent) -> Topic | Channel | Agent:
        return (
            self.topics.get(channel) or self.topic(channel) if isinstance(channel, str) else channel
        )

    def _check_free(self, kind: str, name: str) -> None:
        taken = self.agents.get(name) or self.subscriptions.get(name)
        if taken is not None:
            raise DeclarationError(
                f"{taken!r} has the name {name!r} already: give the {kind} another name="
            )

    def _add_agent(self, agent: Agent) -> Agent:
        self._check_free("agent", agent.name)
        self.agents[agent.name] = agent
        return agent

    def _add_job(self, job: J) -> J:
        self.jobs.append(job)
        return job

    def __repr__(self) -> str:
        agents, subscriptions = len(self.agents), len(self.subscriptions)
        return f"<App {self.conf.id!r}: {agents} agents, {subscriptions} subscriptions>"


Turbine = App
"""The same class under its other name: ``Turbine(brokers="localhost:9092", app_id="orders")``."""
