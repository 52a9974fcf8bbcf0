"""What a worker says about itself when it starts, and tables of declarations."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turbine.agents import Agent
    from turbine.app import App
    from turbine.subscriptions import Subscription

__all__ = ["agent_rows", "facts", "show_banner", "show_table", "topic_rows"]


def agent_rows(app: "App") -> list[dict[str, Any]]:
    """One row an agent."""
    return [
        {
            "name": agent.name,
            "reads": str(agent.channel),
            "sinks": [_name_of(sink) for sink in agent.sinks],
            "concurrency": agent.concurrency,
            "on_error": agent.on_error,
            "help": agent.help,
        }
        for agent in app.agents.values()
    ]


def subscription_rows(app: "App") -> list[dict[str, Any]]:
    """One row a subscription."""
    return [
        {
            "name": one.name,
            "reads": str(one.source) if one.join is None else ", ".join(one.topics),
            "publishes_to": one.publish_to,
            "model": getattr(one.model, "__name__", None),
            "batch_size": one.batch_size,
            "windows": list(one.line.windows),
            "on_error": one.on_error,
            "help": one.help,
        }
        for one in app.subscriptions.values()
    ]


def topic_rows(app: "App", partitions: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """
    One row a topic that the app reads, writes or declares.

    Args:
        app: The app.
        partitions: Partitions of the topics that exist on the cluster; None if it was not asked.
    """
    found = partitions or {}
    read, written = _readers(app), _writers(app)
    names = dict.fromkeys([*app.topics, *read, *written])
    return [
        {
            "name": name,
            "partitions": found.get(name),
            "exists": None if partitions is None else name in found,
            "read_by": read.get(name, []),
            "written_by": written.get(name, []),
        }
        for name in names
    ]


def facts(
    app: "App", *, http_address: str | None = None, partitions: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Everything that the banner shows."""
    from turbine._native import __version__

    conf = app.conf
    return {
        "turbine": __version__,
        "python": platform.python_version(),
        "pid": os.getpid(),
        "app": conf.id,
        "version": conf.version,
        "broker": conf.bootstrap,
        "guarantee": conf.processing_guarantee,
        "datadir": str(conf.data_path),
        "http": None if http_address is None else f"http://{http_address}",
        "topics": topic_rows(app, partitions),
        "agents": agent_rows(app),
        "subscriptions": subscription_rows(app),
        "jobs": [{"name": job.name, "kind": job.kind} for job in app.jobs],
    }


def show_banner(
    app: "App",
    *,
    http_address: str | None = None,
    partitions: Mapping[str, int] | None = None,
    as_json: bool = False,
    stream: IO[str] | None = None,
) -> None:
    """Write the banner: one JSON object, colours on a terminal, plain lines otherwise."""
    out = stream or sys.stdout
    known = facts(app, http_address=http_address, partitions=partitions)
    if as_json:
        out.write(json.dumps(known) + "\n")
    elif out.isatty():
        _show_panel(known, out)
    else:
        out.writelines(f"{label:<14}{text}\n" for label, text in _lines(known))
    out.flush()


def _lines(known: dict[str, Any]) -> list[tuple[str, str]]:
    version = "" if known["version"] == 1 else f" (version {known['version']})"
    lines = [
        ("turbine", f"{known['turbine']}, Python {known['python']}, pid {known['pid']}"),
        ("app", f"{known['app']}{version}"),
        ("broker", known["broker"]),
        ("http", known["http"] or "off"),
    ]
    lines += [("topic", _topic_line(topic)) for topic in known["topics"]]
    lines += [("agent", _agent_line(agent)) for agent in known["agents"]]
    lines += [("subscription", _subscription_line(one)) for one in known["subscriptions"]]
    lines += [(job["kind"], job["name"]) for job in known["jobs"]]
    return lines


def _topic_line(topic: dict[str, Any]) -> str:
    count = topic["partitions"]
    if count is not None:
        return f"{topic['name']}, {count} partition{'' if count == 1 else 's'}"
    return f"{topic['name']}, missing" if topic["exists"] is False else str(topic["name"])


def _agent_line(agent: dict[str, Any]) -> str:
    sinks = f" -> {', '.join(agent['sinks'])}" if agent["sinks"] else ""
    times = f" x {agent['concurrency']}" if agent["concurrency"] > 1 else ""
    return f"{agent['name']}{times}: {agent['reads']}{sinks}"


def _subscription_line(one: dict[str, Any]) -> str:
    target = f" -> {one['publishes_to']}" if one["publishes_to"] else ""
    windows = f" by {', '.join(one['windows'])}" if one["windows"] else ""
    return f"{one['name']}: {one['reads']}{windows}{target}"


def _show_panel(known: dict[str, Any], out: IO[str]) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    before = ""
    for label, text in _lines(known)[1:]:
        table.add_row(Text("" if label == before else label, style="bold cyan"), Text(text))
        before = label
    title = Text(f"turbine {known['turbine']}", style="bold")
    foot = Text(f"Python {known['python']}, pid {known['pid']}", style="dim")
    Console(file=out).print(
        Panel(table, title=title, subtitle=foot, title_align="left", expand=False)
    )


def show_table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    as_json: bool = False,
    stream: IO[str] | None = None,
) -> None:
    """
    Write *rows*: a JSON array, a table on a terminal, tab-separated lines otherwise.

    Args:
        rows: Mappings with the keys *columns*; JSON shows their other keys too.
        columns: What the table shows, in this order.
        as_json: Write JSON.
        stream: Where to; standard output if None.
    """
    out = stream or sys.stdout
    if as_json:
        out.write(json.dumps(list(rows), indent=2) + "\n")
        return
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    if not out.isatty():
        out.writelines("\t".join(line) + "\n" for line in [list(columns), *cells])
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, header_style="bold cyan")
    for line in cells:
        table.add_row(*map(Text, line))
    Console(file=out).print(table)


def _cell(value: Any) -> str:
    if value is None or value in ([], ""):
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _readers(app: "App") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    readers: list[Agent | Subscription] = [*app.agents.values(), *app.subscriptions.values()]
    for reader in readers:
        for topic in reader.topics:
            found.setdefault(topic, []).append(reader.name)
    return found


def _writers(app: "App") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for agent in app.agents.values():
        targets = [name for sink in agent.sinks for name in getattr(sink, "names", ())]
        _note(found, agent.name, [*targets, agent.dlq])
    for one in app.subscriptions.values():
        _note(found, one.name, one.written)
    return found


def _note(found: dict[str, list[str]], writer: str, topics: Sequence[str | None]) -> None:
    for topic in topics:
        if topic is not None:
            found.setdefault(topic, []).append(writer)


def _name_of(sink: Any) -> str:
    name = getattr(sink, "name", None) or getattr(sink, "__name__", None)
    return str(name or sink)
