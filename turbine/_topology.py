"""
The whole of an app as a graph: what reads which topic, keeps what, and writes where.

A `Topology` is data, made from the declarations without a broker; `turbine explain` prints it as
text, JSON or Mermaid.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from turbine._plan import plan_app
from turbine._recovery import changelog_of
from turbine.functions import Expr

if TYPE_CHECKING:
    from turbine.agents import Agent
    from turbine.app import App
    from turbine.subscriptions import Subscription

__all__ = ["Edge", "Part", "Topology", "explain_one", "topology"]


@dataclass(frozen=True)
class Part:
    """
    A node.

    Attributes:
        id: Unique in the graph.
        kind: ``topic``, ``agent``, ``subscription``, ``plan``, ``repartition``, ``store`` or
            ``table``.
        name: What it is called.
        steps: What it does, in order: ``(kind, text)``.
    """

    id: str
    kind: str
    name: str
    steps: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Edge:
    """
    Records that go from one node to another, by their ids.

    Attributes:
        start: Where they come from.
        end: Where they go.
        label: Which records, if not all: ``late``, ``dead letters`` and so on.
    """

    start: str
    end: str
    label: str = ""


@dataclass
class Topology:
    """
    The graph.

    Attributes:
        app_id: Id of the app.
        parts: Nodes by id.
        edges: Between them.
    """

    app_id: str
    parts: dict[str, Part] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    def topic(self, name: str) -> str:
        """Add a topic, if it is not there; its id."""
        return self.add("topic", name)

    def add(self, kind: str, name: str, steps: Iterable[tuple[str, str]] = ()) -> str:
        """Add a node, if it is not there; its id."""
        one = Part(f"{kind}:{name}", kind, name, tuple(steps))
        self.parts.setdefault(one.id, one)
        return one.id

    def connect(self, start: str, end: str, label: str = "") -> None:
        """Add an edge, if it is not there."""
        edge = Edge(start, end, label)
        if edge not in self.edges:
            self.edges.append(edge)

    def to_json(self) -> dict[str, Any]:
        """Give it as objects for JSON."""
        return {
            "app": self.app_id,
            "nodes": [
                {
                    "id": one.id,
                    "kind": one.kind,
                    "name": one.name,
                    "steps": [{"kind": kind, "text": text} for kind, text in one.steps],
                }
                for one in self.parts.values()
            ],
            "edges": [
                {"from": edge.start, "to": edge.end, "label": edge.label} for edge in self.edges
            ],
        }


def topology(app: "App") -> Topology:
    """
    Make the graph of *app*.

    Raises:
        DeclarationError: An agent says ``group_by`` or ``through`` in a way that cannot work.
    """
    plan_app(app)
    graph = Topology(app.conf.id)
    for one in app.subscriptions.values():
        _subscription(graph, one)
    for agent in app.agents.values():
        _agent(graph, agent)
    for table in app.tables.values():
        store = graph.add("table", table.name)
        graph.connect(store, graph.topic(table.changelog), "changelog")
    return graph


def explain_one(one: "Subscription") -> str:
    """Say what a subscription reads, does and writes, a line for each step."""
    return "\n".join(f"{kind:<13} {text}" for kind, text in _steps(one))


def _steps(one: "Subscription") -> list[tuple[str, str]]:
    steps = [("reads", ", ".join(one.topics))]
    for repartition in one.repartitions:
        by = (
            repartition.column if repartition.key is None else repr(Expr.from_json(repartition.key))
        )
        steps.append(("repartition", f"by {by}, through {', '.join(repartition.topics)}"))
    time = one.line.event_time
    if time is not None:
        late = f", up to {time.out_of_orderness_ms} ms late" if time.out_of_orderness_ms else ""
        steps.append(("event time", (time.column or "timestamp of the record") + late))
    if one.plan is not None:
        steps += [(node.kind, node.text) for node in one.plan.nodes]
    else:
        steps += [
            ("window", f"{name}: {window.kind['type']} by {', '.join(window.key) or 'nothing'}")
            for name, window in one.line.windows.items()
        ]
        steps.append(("handler", getattr(one.fn, "__name__", one.name)))
    changelog = changelog_of(one)
    if one.keeps_state:
        steps.append(("state", f"changelog {changelog}" if changelog else "without a changelog"))
    if one.publish_to:
        key = f", key {one.message_key}" if one.message_key else ""
        steps.append(("writes", f"{one.publish_to}{key}"))
    steps += [("writes", f"{topic} ({label})") for topic, label in _further(one)]
    return [*steps, ("guarantee", one.guarantee.replace("_", "-"))]


def _further(one: "Subscription") -> list[tuple[str, str]]:
    late = one.line.late_data
    targets = [(side.topic, name) for name, side in one.side_outputs.items()]
    targets += [] if late is None else [(late.topic, "late rows")]
    return targets + ([(one.dlq, "dead letters")] if one.dlq else [])


def _subscription(graph: Topology, one: "Subscription") -> None:
    me = graph.add("subscription" if one.plan is None else "plan", one.name, _steps(one))
    for topic in one.reads:
        if not one.repartitions:
            graph.connect(graph.topic(topic), me)
    for repartition in one.repartitions:
        for stage in repartition.stages:
            between = graph.add("repartition", stage.name, [("by", repartition.column)])
            graph.connect(graph.topic(stage.topic), between)
            graph.connect(between, graph.topic(stage.to))
            graph.connect(graph.topic(stage.to), me)
    if one.keeps_state:
        store = graph.add("store", one.name)
        graph.connect(me, store)
        changelog = changelog_of(one)
        if changelog:
            graph.connect(store, graph.topic(changelog), "changelog")
    if one.publish_to:
        graph.connect(me, graph.topic(one.publish_to))
    for topic, label in _further(one):
        graph.connect(me, graph.topic(topic), label)


def _agent(graph: Topology, agent: "Agent") -> None:
    from turbine.topics import Topic

    source = agent.reads
    names = source.names if isinstance(source, Topic) else ()
    steps = [
        ("reads", ", ".join(names) or f"the channel {getattr(source, 'name', '')}"),
        ("instances", str(agent.concurrency)),
        ("guarantee", agent.guarantee.replace("_", "-")),
    ]
    me = graph.add("agent", agent.name, steps)
    for name in names:
        graph.connect(graph.topic(name), me)
    for sink in (*agent.sinks, agent.feeds):
        if isinstance(sink, str):
            graph.connect(me, graph.topic(sink))
        for name in sink.names if isinstance(sink, Topic) else ():
            graph.connect(me, graph.topic(name))
    if agent.dlq:
        graph.connect(me, graph.topic(agent.dlq), "dead letters")
