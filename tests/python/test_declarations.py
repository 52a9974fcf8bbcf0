"""Agents, subscriptions and names: what a declaration means, and what is refused at its line."""

import functools
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from turbine import App, DeclarationError, naming
from turbine.topics import Topic


class Order(BaseModel):
    id: int
    amount: float


class Odd(BaseModel):
    either: int | str


async def values(stream: Any) -> None:
    """Read and drop."""
    async for _ in stream:
        pass


async def doubled(stream: Any) -> AsyncIterator[int]:
    async for value in stream:
        yield value * 2


def same(batch: Any) -> Any:
    """Return what came."""
    return batch


@pytest.fixture
def app() -> App:
    return App("orders")


# -- agents ------------------------------------------------------------------------------------


def test_an_agent_on_a_name_reads_that_topic(app: App) -> None:
    agent = app.agent("in", value_type=Order, concurrency=3, name="reader")(values)
    assert app.agents == {"reader": agent}
    assert (agent.topics, agent.value_type, agent.concurrency) == (("in",), Order, 3)
    assert (agent.group, agent.on_error, agent.yields) == ("orders", "fail", False)
    assert agent.help == "Read and drop."


def test_an_agent_without_a_topic_has_its_own(app: App) -> None:
    for declared in (app.agent(values), app.agent(name="second")(values)):
        assert declared.topics == (f"orders-{declared.name}",)
    assert [name.endswith("values") for name in app.agents] == [True, False]


def test_an_agent_of_a_later_version_has_its_own_group_and_topic() -> None:
    agent = App("orders", version=2).agent(name="reader")(values)
    assert (agent.group, agent.topics) == ("orders-v2", ("orders-v2-reader",))


def test_an_agent_may_read_several_topics_or_a_channel(app: App) -> None:
    both = app.agent(app.topic("a", "b"), name="both")(values)
    assert both.topics == ("a", "b")
    inside = app.agent(app.channel(), name="inside")(values)
    assert inside.topics == ()


def test_types_of_an_agent_fill_what_its_topic_leaves_open(app: App) -> None:
    topic = app.topic("in", key_type=str)
    agent = app.agent(topic, value_type=Order)(values)
    assert (agent.key_type, agent.value_type) == (str, Order)
    assert topic.value_type is None


def test_decoders_are_words_or_the_validator_of_the_model(app: App) -> None:
    plain = app.agent("in", name="plain")(values)
    assert plain.decoders() == ("raw", "json")
    typed = app.agent("in", name="typed", key_type=int, value_type=Order)(values)
    assert typed.decoders() == ("int", Order.__pydantic_validator__)
    adapted = app.agent("in", name="adapted", key_type=str, value_type=list[Order])(values)
    assert adapted.decoders()[1].validate_json('[{"id": 1, "amount": 2}]') == [
        Order(id=1, amount=2)
    ]


def test_partials_and_callable_objects_can_be_agents(app: App) -> None:
    async def with_option(option: int, stream: Any) -> None: ...

    class Handler:
        """Counts."""

        async def __call__(self, stream: Any) -> None: ...

    first = app.agent("in")(functools.partial(with_option, 1))
    second = app.agent("in")(Handler())
    assert first.name.endswith(".with_option")
    assert second.name.endswith(".Handler")


def test_every_kind_of_sink_is_taken_and_can_be_added(app: App) -> None:
    target = app.agent("other", name="target")(values)
    sinks: list[Any] = ["out", app.topic("out2"), app.channel(), target, print]
    agent = app.agent("in", sink=sinks)(doubled)
    agent.add_sink("late")
    assert [str(getattr(sink, "name", "function")) for sink in agent.sinks] == [
        "out",
        "out2",
        "channel",
        "target",
        "function",
        "late",
    ]


def not_async(stream: Any) -> None: ...
async def no_parameter() -> None: ...
async def two_parameters(stream: Any, state: Any) -> None: ...
def sink_of_two(key: Any, value: Any) -> None: ...


class NotAFunction:
    pass


@pytest.mark.parametrize(
    ("fn", "options", "message"),
    [
        (not_async, {}, "write 'async def not_async(stream)"),
        (NotAFunction, {}, "the class NotAFunction is no agent"),
        (no_parameter, {}, "takes one parameter, (stream)"),
        (two_parameters, {}, "takes (stream, state)"),
        (values, {"sink": ["out"]}, "write 'yield result'"),
        (doubled, {"sink": ["in"]}, "every record would come back"),
        (doubled, {"sink": [3]}, "cannot be a sink"),
        (doubled, {"sink": [sink_of_two]}, "a sink function takes one parameter"),
        (values, {"concurrency": 0}, "a whole number from 1"),
        (values, {"concurrency": 1.5}, "a whole number from 1"),
        (values, {"concurrency": True}, "a whole number from 1"),
        (values, {"on_error": "skipp"}, "did you mean 'skip'?"),
        (values, {"on_error": None}, "write one of 'fail', 'skip', 'dlq'"),
        (values, {"on_error": "dlq"}, "add dlq="),
        (values, {"dlq": "dead"}, "write on_error='dlq'"),
        (values, {"on_error": "dlq", "dlq": "in"}, "every record would come back"),
        (values, {"on_error": "dlq", "dlq": "not a name"}, "not a topic name"),
        (values, {"on_error": "dlq", "dlq": 3}, "is not a topic"),
        (values, {"name": "bad name"}, "pass name="),
        (values, {"name": "v2"}, "that version of the app"),
        (values, {"value_type": 3}, "is not a type"),
        (values, {"value_type": Order(id=1, amount=1)}, "is not a type"),
        (values, {"value_type": NotAFunction}, "cannot be read from a record"),
        (values, {"key_type": "str"}, "is not a type"),
        (values, {"processing_guarantee": "never"}, "processing_guarantee expects"),
        (values, {"concurency": 2}, "did you mean concurrency=?"),
    ],
)
def test_a_wrong_agent_is_refused_with_what_to_write(
    app: App, fn: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError, match=re.escape(message)):
        app.agent("in", **options)(fn)
    assert app.agents == {}


def test_an_agent_cannot_read_what_is_no_source(app: App) -> None:
    with pytest.raises(DeclarationError, match="reads a topic or a channel"):
        app.agent(3)(values)  # type: ignore[call-overload]
    with pytest.raises(DeclarationError, match="belongs to another app"):
        app.agent(App("other").topic("in"))(values)
    with pytest.raises(DeclarationError, match="already: leave value_type out"):
        app.agent(app.topic("in", value_type=Order), value_type=int)(values)
    with pytest.raises(DeclarationError, match="where <Channel"):
        app.agent(app.channel(), value_type=int)(values)


def test_a_name_is_given_once(app: App) -> None:
    app.agent("in", name="reader")(values)
    with pytest.raises(DeclarationError, match="another name="):
        app.agent("other", name="reader")(values)
    with pytest.raises(DeclarationError, match="another name="):
        app.subscribe("other", name="reader")(same)


# -- subscriptions -----------------------------------------------------------------------------


def test_a_subscription_leaves_its_function_as_it_is(app: App) -> None:
    declared = app.subscribe("in", publish_to="out", model=Order, message_key="id", batch_size=5)(
        same
    )
    one = app.subscriptions["same"]
    assert declared is same
    assert (one.topics, one.publish_to, one.model, one.message_key) == (("in",), "out", Order, "id")
    assert (one.batch_size, one.batch_timeout_ms, one.on_error) == (5, 250, "fail")
    assert (one.group, one.is_async, one.help) == ("orders-same", False, "Return what came.")


def test_a_subscription_may_be_async_and_take_topics(app: App) -> None:
    @app.subscribe(app.topic("a", "b", value_type=Order), publish_to=app.topic("out"))
    async def copy(batch: Any) -> Any:
        return batch

    one = app.subscriptions["copy"]
    assert (one.is_async, one.topics, one.publish_to, one.model) == (True, ("a", "b"), "out", Order)


def yields(batch: Any) -> Any:
    yield batch


async def yields_async(batch: Any) -> Any:
    yield batch


def no_batch() -> None: ...
def with_state(batch: Any, state: Any) -> None: ...
def with_both(batch: Any, ctx: Any, state: Any) -> None: ...
def with_other(batch: Any, other: Any) -> None: ...
def with_option(batch: Any, factor: int = 2) -> None: ...


class WithArguments:
    def __init__(self, database: str) -> None: ...
    def process(self, batch: Any) -> None: ...


class WrongOrder:
    def process(self, batch: Any, ctx: Any, state: Any) -> None: ...


@pytest.mark.parametrize(
    ("fn", "options", "message"),
    [
        (yields, {}, "return one batch instead"),
        (yields_async, {}, "return one batch instead"),
        (NotAFunction, {}, "the handler class NotAFunction has no process method"),
        ("text", {}, "write 'def f(batch)'"),
        (no_batch, {}, "takes one parameter, (batch)"),
        (WithArguments, {}, "is made without arguments"),
        (WrongOrder, {}, "with state, ctx or both behind, in this order"),
        (with_other, {}, "takes one parameter, (batch)"),
        (lambda batch: batch, {}, "pass name="),
        (same, {"batch_size": 0}, "batch_size=0"),
        (same, {"batch_size": "10"}, "a whole number from 1"),
        (same, {"batch_timeout_ms": -1}, "a whole number from 0"),
        (same, {"model": dict}, "is not a pydantic model"),
        (same, {"model": Order(id=1, amount=1)}, "is not a pydantic model"),
        (same, {"model": Odd}, "Odd.either"),
        (same, {"message_key": "id"}, "add publish_to="),
        (same, {"message_key": "", "publish_to": "out"}, "the name of one"),
        (same, {"with_metadata": ["ofset"]}, "did you mean 'offset'?"),
        (same, {"with_metadata": ["key", "key"]}, "name it once"),
        (same, {"with_metadata": "key"}, "is not a list"),
        (same, {"tombstones": "skip"}, "write one of 'error', 'null'"),
        (same, {"on_error": "dlq"}, "add dlq="),
        (same, {"dlq": "dead"}, "write on_error='dlq'"),
        (same, {"publish_to": "in"}, "every record would come back"),
        (same, {"on_error": "dlq", "dlq": "in"}, "every record would come back"),
        (same, {"publish_to": 3}, "is not a topic"),
        (same, {"publish_to": "no/slash"}, "not a topic name"),
        (same, {"name": "v7"}, "that version of the app"),
        (same, {"processing_guarantee": "exactly_once"}, "not part of the transaction"),
        (same, {"event_time": 3}, "is not a column: write its name"),
        (
            same,
            {"event_time": "ts", "event_time_unit": "min"},
            "write one of 's', 'ms'",
        ),
        (same, {"event_time": "ts", "model": Order}, "is not a column of the model: it has id"),
        (same, {"event_time": "ts", "out_of_orderness": -1}, "out_of_orderness expects"),
        (same, {"event_time": "ts", "idle_close": 0}, "idle_close"),
        (same, {"idle_close": 3}, "says nothing without event_time="),
        (same, {"on_late": "drop"}, "add window="),
        (same, {"late_data": "late"}, "belong together"),
        (same, {"side_outputs": ["vip"]}, "is not a mapping"),
        (same, {"side_outputs": {"vip": "in"}}, "name another topic"),
        (same, {"partition_key": ""}, "write the name of one"),
        (same, {"output": "out"}, "did you mean publish_to=?"),
        (same, {"batchsize": 3}, "did you mean batch_size=?"),
    ],
)
def test_a_wrong_subscription_is_refused_with_what_to_write(
    app: App, fn: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError, match=re.escape(message)):
        app.subscribe("in", **options)(fn)
    assert app.subscriptions == {}


def test_a_subscription_names_one_known_source(app: App) -> None:
    with pytest.raises(DeclarationError, match=re.escape("write @app.subscribe('orders')")):
        app.subscribe(same)  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="reads a topic"):
        app.subscribe(app.channel())(same)  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="belongs to another app"):
        app.subscribe(App("other").topic("in"))(same)
    with pytest.raises(DeclarationError, match="several names"):
        app.subscribe("in", publish_to=app.topic("a", "b"))(same)


def test_a_function_with_defaults_takes_one_batch(app: App) -> None:
    app.subscribe("in")(with_option)
    assert "with_option" in app.subscriptions


# -- names -------------------------------------------------------------------------------------


def test_names_are_the_documented_ones() -> None:
    assert naming.app_group("orders") == "orders"
    assert naming.app_group("orders", 2) == "orders-v2"
    assert naming.subscription_group("orders", "sums") == "orders-sums"
    assert naming.subscription_group("orders-v2", "sums") == "orders-v2-sums"
    assert naming.transactional_id("orders", "in", 3) == "orders-in-3"
    assert naming.transactional_id("orders", "in", 3, "sums") == "orders-in-3-sums"
    assert naming.changelog_topic("orders", "totals") == "orders-totals-changelog"
    assert naming.repartition_topic("orders", "in", "user") == "orders-in-user-repartition"
    assert naming.worker_label("sums", 3) == "sums-p3"


@given(st.text(min_size=1, max_size=260))
def test_a_topic_name_is_kafkas_or_refused(name: str) -> None:
    legal = bool(re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name)) and name not in {".", ".."}
    try:
        assert naming.check_topic_name(name) == name
    except DeclarationError:
        assert not legal
    else:
        assert legal


def test_a_program_and_its_module_give_an_agent_the_same_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import __main__

    monkeypatch.setattr(__main__, "__file__", "/srv/shop/orders.py", raising=False)
    monkeypatch.setattr(__main__, "__spec__", None)
    assert naming.module_name("__main__") == "orders"
    monkeypatch.setattr(__main__, "__spec__", type("Spec", (), {"name": "shop.__main__"}))
    assert naming.module_name("__main__") == "shop"
    assert naming.module_name("shop.orders") == "shop.orders"


# -- topics as declared ------------------------------------------------------------------------


def test_a_topic_carries_what_it_is_created_with(app: App) -> None:
    topic = app.topic(
        "in", partitions=12, retention=60, compacting=True, config={"min.insync.replicas": 2}
    )
    assert topic.partitions == 12
    assert topic.config == {
        "retention.ms": "60000",
        "cleanup.policy": "compact",
        "min.insync.replicas": "2",
    }
    assert app.topics["in"] is topic


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ((), {}, "needs a name"),
        (("a b",), {}, "not a topic name"),
        ((3,), {}, "named by text"),
        (("." * 300,), {}, "not a topic name"),
        (("in",), {"partitions": 0}, "a number from 1"),
        (("in",), {"retention": "for ever"}, "retention expects seconds"),
        (("in",), {"value_typ": int}, "did you mean"),
        (("in",), {"pattern": "in-.*"}, "names or a pattern"),
    ],
)
def test_a_wrong_topic_is_refused(
    app: App, names: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError, match=re.escape(message)):
        app.topic(*names, **options)
    assert app.topics == {}


def test_a_topic_declared_in_detail_wins_over_its_bare_name(app: App) -> None:
    app.agent("in", name="first")(values)
    detailed = app.topic("in", partitions=3, value_type=Order)
    app.topic("in")
    assert app.topics["in"] is detailed
    assert isinstance(app.topics["in"], Topic)
