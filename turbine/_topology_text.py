"""A `turbine._topology.Topology` as text for people and as Mermaid for pages."""

from turbine._topology import Edge, Part, Topology

__all__ = ["as_mermaid", "as_text"]

_SHAPES = {
    "topic": ("[/", "/]"),
    "store": ("[(", ")]"),
    "table": ("[(", ")]"),
    "repartition": ("{{", "}}"),
}


def as_text(graph: Topology) -> str:
    """Write the nodes that do something, with their steps, and then the topics."""
    lines = [f"app {graph.app_id}"]
    for one in graph.parts.values():
        if one.kind in {"topic", "store"}:
            continue
        lines += ["", f"{one.kind} {one.name}"]
        lines += [f"  {kind:<13} {text}" for kind, text in one.steps]
        if one.kind in {"repartition", "table"}:
            lines += [
                f"  {_said(edge)}" for edge in graph.edges if one.id in (edge.start, edge.end)
            ]
    topics = [one for one in graph.parts.values() if one.kind == "topic"]
    if topics:
        width = max(len(one.name) for one in topics)
        lines += ["", "topics"]
        lines += [f"  {one.name:<{width}}  {_use(graph, one)}".rstrip() for one in topics]
    return "\n".join(lines)


def _said(edge: Edge) -> str:
    label = f" ({edge.label})" if edge.label else ""
    return f"{edge.start.partition(':')[2]} -> {edge.end.partition(':')[2]}{label}"


def _use(graph: Topology, topic: Part) -> str:
    writers = [_name(e.start) for e in graph.edges if e.end == topic.id]
    readers = [_name(e.end) for e in graph.edges if e.start == topic.id]
    written = f"written by {', '.join(writers)}" if writers else ""
    read = f"read by {', '.join(readers)}" if readers else ""
    return "; ".join(part for part in (written, read) if part)


def _name(part: str) -> str:
    kind, _, name = part.partition(":")
    return f"{kind} {name}"


def as_mermaid(graph: Topology) -> str:
    """Write a flowchart; ids are numbers, so that any name may be a label."""
    ids = {part: f"n{number}" for number, part in enumerate(graph.parts)}
    lines = ["flowchart LR"]
    for part, one in graph.parts.items():
        left, right = _SHAPES.get(one.kind, ("[", "]"))
        label = one.name if one.kind == "topic" else f"{one.kind}<br/>{one.name}"
        lines.append(f'    {ids[part]}{left}"{_quoted(label)}"{right}')
    for edge in graph.edges:
        arrow = f'-- "{_quoted(edge.label)}" -->' if edge.label else "-->"
        lines.append(f"    {ids[edge.start]} {arrow} {ids[edge.end]}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;")
