"""
``UNION ALL``: the rows of several plans, one behind the other as they come, in one topic.

Each is a plan of its own, with a consumer group and an offset of its own. So there is no order
between them, and a failure of one stops that one alone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turbine.exceptions import DeclarationError
from turbine.functions import col

if TYPE_CHECKING:
    from turbine.flows import Flow
    from turbine.subscriptions import Subscription

__all__ = ["Union", "union"]


@dataclass(frozen=True)
class Union:
    """
    Plans whose rows go to one topic.

    Attributes:
        flows: The plans, with columns of the same names and types.
    """

    flows: "tuple[Flow, ...]"

    @property
    def schema(self) -> Any:
        """Arrow schema of the rows."""
        return self.flows[0].schema

    def to(self, topic: Any, *, key: str | None = None, **options: Any) -> "list[Subscription]":
        """
        Declare the plans, each as `turbine.flows.Flow.to` does: their rows go to *topic*.

        Args:
            topic: Topic that is written.
            key: Column whose value becomes the key of the records.
            **options: As of `turbine.flows.Flow.to`; the plans are called ``{name}-1`` and so on.

        Raises:
            DeclarationError: One of them cannot work.
        """
        return [
            flow.to(topic, key=key, **{**options, "name": name})
            for flow, name in zip(self.flows, self._names(topic, options), strict=True)
        ]

    def through(self, topic: Any, *, key: str | None = None, **options: Any) -> "Flow":
        """Write the rows to *topic*, and go on with what is read from there; as `Flow.through`."""
        from turbine._event_time import EVENT_TIME_OPTIONS

        own = {word: value for word, value in options.items() if word not in EVENT_TIME_OPTIONS}
        names = self._names(topic, own)
        *others, last = zip(self.flows, names, strict=True)
        for flow, name in others:
            flow.to(topic, key=key, **{**own, "name": name})
        return last[0].through(topic, key=key, **{**options, "name": last[1]})

    def explain(self) -> str:
        """Say what each plan does, a line for each step."""
        return "\n\n".join(flow.explain() for flow in self.flows)

    def _names(self, topic: Any, options: dict[str, Any]) -> list[str]:
        name = options.get("name") or f"{self.flows[0].source.name}-to-{topic}"
        return [f"{name}-{number}" for number in range(1, len(self.flows) + 1)]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{name}() behind UNION ALL: write .through('topic') in between, or .to('topic') as "
            "its end"
        )


def union(flows: "list[Flow]") -> Union:
    """
    Put plans together, whose columns have the same types in their order; the first names them.

    Raises:
        DeclarationError: They have not.
    """
    first, *others = flows
    alike = [first]
    for number, flow in enumerate(others, 2):
        one, other = first.schema, flow.schema
        if [field.type for field in one] != [field.type for field in other]:
            raise DeclarationError(
                f"UNION ALL: part {number} has the columns {_columns(other)}, and the first has "
                f"{_columns(one)}: select as many of the same types, with CAST where they differ"
            )
        if one.names != other.names:
            pairs = zip(one.names, other.names, strict=True)
            flow = flow.select(**{name: col(own) for name, own in pairs})  # noqa: PLW2901 - renamed
        alike.append(flow)
    return Union(tuple(alike))


def _columns(schema: Any) -> str:
    return ", ".join(f"{one.name} {one.type}" for one in schema)
