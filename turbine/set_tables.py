"""
Tables of sets: a key has members, and each member is a record of the changelog of its own.

Adding to a large set writes the member and nothing else, and compaction keeps exactly the members
that are left. Below is an ordinary `turbine.tables.Table` whose keys are pairs of key and member;
the members of a key stand side by side in it, since the text of the pair begins with the key's.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, MutableSet
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from turbine._table_types import codec_for
from turbine._turns import TURN
from turbine.tables import Table

if TYPE_CHECKING:
    from turbine._table_turns import TableTurn
    from turbine.app import App

__all__ = ["Members", "SetTable"]

K = TypeVar("K")
M = TypeVar("M")

_NONE: Any = object()
_PAGE = 1_024
"""Members that one step of an iteration takes from the core."""


class Members(MutableSet[M], Generic[K, M]):
    """
    The set of one key, as it is in the table: what is changed here is changed there.

    ::

        people["Berlin"].add("ada")
        "ada" in people["Berlin"]
    """

    def __init__(self, table: "SetTable[K, M]", key: K) -> None:
        self._table = table
        self._key = key

    def __contains__(self, member: object) -> bool:
        return (self._key, member) in self._table.pairs

    def __iter__(self) -> Iterator[M]:
        return self._table.members(self._key)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return next(iter(self), _NONE) is not _NONE

    def add(self, value: M) -> None:
        """Add a member; nothing is written if it is there."""
        if (self._key, value) not in self._table.pairs:
            self._table.pairs[self._key, value] = True

    def discard(self, value: M) -> None:
        """Remove a member, if it is there."""
        self._table.pairs.pop((self._key, value), None)

    def clear(self) -> None:
        """Remove every member."""
        for member in list(self):
            self.discard(member)

    def update(self, *others: Iterable[M]) -> None:
        """Add all members of *others*."""
        for other in others:
            for member in list(other):
                self.add(member)

    def difference_update(self, *others: Iterable[M]) -> None:
        """Remove all members of *others*."""
        for other in others:
            for member in list(other):
                self.discard(member)

    def intersection_update(self, *others: Iterable[M]) -> None:
        """Keep the members that all of *others* have."""
        kept = set(self).intersection(*others)
        self.difference_update(set(self) - kept)

    def symmetric_difference_update(self, other: Iterable[M]) -> None:
        """Keep the members that only one of the two has."""
        now, given = set(self), set(other)
        self.difference_update(now & given)
        self.update(given - now)

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> set[Any]:
        """What operators give: a plain set, that belongs to no table."""
        return set(it)

    def __hash__(self) -> int:
        raise TypeError("a set of a table changes: write frozenset(table[key])")

    def __repr__(self) -> str:
        return repr(set(self))


class SetTable(MutableMapping[K, Members[K, M]], Generic[K, M]):
    """
    A table whose values are sets. Made by `App.SetTable`.

    A key that has no members is not in it; ``table[key]`` then is an empty set.

    Attributes:
        name: Unique in the app.
        pairs: The table below, from (key, member) to True.
        key_type: Type of keys; text if None.
        value_type: Type of members; text if None.
        help: What it is for.
        codec: Reads and writes a key alone.
        table_type: Class of the table below.

    Raises:
        DeclarationError: pydantic cannot write and read the types.
    """

    table_type: ClassVar[type[Table[Any, Any]]] = Table

    def __init__(
        self,
        app: "App",
        name: str,
        *,
        key_type: Any = None,
        value_type: Any = None,
        **options: Any,
    ) -> None:
        from pydantic import TypeAdapter

        self.key_type = str if key_type is None else key_type
        self.value_type = str if value_type is None else value_type
        pair = tuple[self.key_type, self.value_type]  # type: ignore[name-defined]
        self.pairs: Table[tuple[K, M], bool] = self.table_type(
            app, name, key_type=pair, value_type=bool, **options
        )
        self.name = self.pairs.name
        self.help = self.pairs.help
        self.codec = codec_for(self.name, self.key_type, bool)
        self._key_text = TypeAdapter(self.key_type)

    # -- keys ------------------------------------------------------------------------------

    def __getitem__(self, key: K) -> Members[K, M]:
        return Members(self, key)

    def __setitem__(self, key: K, members: Iterable[M]) -> None:
        now, wanted = self[key], set(members)
        now.difference_update(set(now) - wanted)
        now.update(wanted)

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self[key].clear()

    def __contains__(self, key: object) -> bool:
        return next(self._found(key), None) is not None

    def __iter__(self) -> Iterator[K]:
        last: Any = _NONE
        for key, _ in self.pairs.rows("keys"):
            if key != last:
                last = key
                yield key

    def __len__(self) -> int:
        """How many keys there are; reads all of them."""
        return sum(1 for _ in self)

    def turn(self, key: K, *, topic: str | None = None) -> "TableTurn":
        """As `turbine.tables.Table.turn`."""
        from turbine._table_turns import TableTurn

        return TableTurn(self.pairs.app, self.name, self.codec.encode_key(key), topic)

    def members(self, key: K) -> Iterator[M]:
        """Members of *key*, in the order of their text."""
        return (member for _, member in self._found(key))

    # -- showing it ------------------------------------------------------------------------

    def as_ansitable(self, **options: Any) -> str:
        """Draw the table for a terminal; as `turbine.tables.Table.as_ansitable`."""
        from turbine._table_views import ansitable

        rows = ((one, ", ".join(sorted(map(str, self[one])))) for one in self)
        return ansitable(self.name, rows, **options)

    def __repr__(self) -> str:
        return f"<SetTable {self.name}>"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    # -- inside ----------------------------------------------------------------------------

    def _found(self, key: Any) -> Iterator[tuple[K, M]]:
        """Pairs of *key*: those whose text begins as its own does."""
        native, turn = self.pairs._find(), TURN.get()  # noqa: SLF001 - the table below is ours
        prefix = b"[" + self._key_text.dump_json(key) + b","
        # Inside of a stream the core shows those that belong to its event, and skips the others.
        for partition in native.partitions:
            after: bytes | None = prefix
            while after is not None:
                page = native.page(turn, partition, after, _PAGE, "keys")
                if page is None or page[0] != partition:
                    break
                _, pairs, after = page
                for pair in pairs:
                    if pair[0] != key:
                        after = None
                        break
                    yield pair


def check_options(options: Mapping[str, object]) -> dict[str, object]:
    """
    Give the options of the table below, without those of Faust that have no meaning for sets.

    Raises:
        DeclarationError: An option cannot be had.
    """
    from turbine.exceptions import DeclarationError

    if options.get("start_manager"):
        raise DeclarationError(
            "app.SetTable takes no start_manager=: send to a topic, and add in an agent of it"
        )
    return {name: value for name, value in options.items() if name != "start_manager"}
