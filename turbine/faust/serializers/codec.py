"""What a codec is."""

from typing import Any, Self, TypeAlias

__all__ = ["Codec", "CodecArg"]


class Codec:
    """
    Bytes from objects and back.

    Derive from it with ``_dumps(self, obj)`` and ``_loads(self, data)``, and `register` it. An
    instance with children hands its result on to them.

    Args:
        children: Codecs behind this one in a chain.
        **kwargs: Kept in copies that chains are made of.
    """

    def __init__(self, children: "tuple[Codec, ...] | None" = None, **kwargs: Any) -> None:
        self.children = children or ()
        self.nodes: tuple[Codec, ...] = (self, *self.children)
        self.kwargs = kwargs

    def _loads(self, s: bytes) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no _loads(self, data)")

    def _dumps(self, s: Any) -> bytes:
        raise NotImplementedError(f"{type(self).__name__} has no _dumps(self, obj)")

    def dumps(self, obj: Any) -> bytes:
        """Write *obj*."""
        for node in self.nodes:
            obj = node._dumps(obj)  # noqa: SLF001 - the codecs of one chain
        written: bytes = obj
        return written

    def loads(self, s: bytes) -> Any:
        """Read what `dumps` wrote."""
        for node in reversed(self.nodes):
            s = node._loads(s)  # noqa: SLF001 - the codecs of one chain
        return s

    def clone(self, *children: "Codec") -> Self:
        """Copy it with more *children*."""
        return type(self)(children=(*self.children, *children), **self.kwargs)

    def __or__(self, other: Any) -> Any:
        return self.clone(*other.nodes) if isinstance(other, Codec) else NotImplemented

    def __repr__(self) -> str:
        return " | ".join(
            f"{type(node).__name__}({', '.join(map(repr, node.kwargs.values()))})"
            for node in self.nodes
        )


CodecArg: TypeAlias = Codec | str | None
"""A codec, its name, or names with ``|`` between them; None: bytes as they are."""
