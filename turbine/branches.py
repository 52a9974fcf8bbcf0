"""Branches: where rows go that a handler returns, decided by expressions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from turbine import _declare
from turbine.exceptions import DeclarationError
from turbine.functions import Expr

if TYPE_CHECKING:
    from turbine.topics import Topic

__all__ = ["Branch", "OnUnmatched", "Router", "check_branches"]

OnUnmatched = Literal["drop", "output"]
"""What happens to a row that no branch takes."""


class Branch:
    """
    Rows for one topic, of those that a handler returns.

    The first branch of a subscription whose predicate is true takes a row; null is false.

    Args:
        name: Unique among the branches and side outputs of the subscription.
        predicate: Condition of `turbine.functions`, as ``col("amount") > 100``.
        to: Topic that its rows are written to.

    Raises:
        DeclarationError: One of them is something else.
    """

    __slots__ = ("name", "predicate", "to")

    def __init__(self, name: Any, predicate: Any, to: "str | Topic") -> None:
        if not isinstance(name, str) or not name:
            raise DeclarationError(f"a branch has text as its name, not {name!r}")
        if not isinstance(predicate, Expr):
            raise DeclarationError(
                f"the predicate of the branch {name!r} is {predicate!r}: write an expression, as "
                "turbine.functions.col('amount') > 100"
            )
        self.name = name
        self.predicate = predicate
        self.to = to

    def __repr__(self) -> str:
        return f"Branch({self.name!r}, {self.predicate!r}, to={self.to!r})"


class Router:
    """
    Divides what handlers return among the branches of one subscription.

    Args:
        branches: In the order in which they are asked.
        first: Index of the output of the first branch; the others follow.
        on_unmatched: What happens to a row that no branch takes.
    """

    def __init__(self, branches: Sequence[Branch], first: int, on_unmatched: OnUnmatched) -> None:
        from turbine._native import Splitter

        self._native = Splitter([branch.predicate.to_json() for branch in branches])
        self._first = first
        self._count = len(branches)
        self._keeps_rest = on_unmatched == "output"

    def route(self, outputs: list[tuple[int | None, Any]]) -> list[tuple[int | None, Any]]:
        """Replace what goes to the main output by its parts; side outputs stay as they are."""
        routed: list[tuple[int | None, Any]] = []
        for side, rows in outputs:
            if side is not None or rows is None:
                routed.append((side, rows))
                continue
            for part, some in self._native.split(rows)[0]:
                if part < self._count:
                    routed.append((self._first + part, some))
                elif self._keeps_rest:
                    routed.append((None, some))
        return routed


def check_branches(
    given: Any, on_unmatched: Any, *, publish_to: str | None, taken: Sequence[str]
) -> tuple[tuple[Branch, ...], OnUnmatched]:
    """
    Check the options ``branch`` and ``on_unmatched`` of a subscription.

    Args:
        given: What was passed as ``branch``.
        on_unmatched: What was passed; without it ``"output"`` if there is an output, else needed.
        publish_to: The main output.
        taken: Names of its side outputs.

    Raises:
        DeclarationError: They cannot work.
    """
    if given is None:
        if on_unmatched is not None:
            raise DeclarationError(
                f"on_unmatched={on_unmatched!r} is about branches, and there are none: add branch="
            )
        return (), "output"
    branches = (given,) if isinstance(given, Branch) else tuple(given)
    wrong = [one for one in branches if not isinstance(one, Branch)]
    if wrong or not branches:
        raise DeclarationError(
            f"branch={given!r} is no list of branches: write "
            "branch=[turbine.Branch('vip', col('tier') == 'vip', to='vip-orders')]"
        )
    names = [*taken, *(branch.name for branch in branches)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DeclarationError(
            f"two branches or side outputs are called {twice!r}: rename one of them"
        )
    if on_unmatched is not None:
        _declare.one_of("on_unmatched", on_unmatched, ("drop", "output"))
    if publish_to is None and on_unmatched != "drop":
        raise DeclarationError(
            "rows that no branch takes have nowhere to go: add publish_to=, or on_unmatched='drop'"
        )
    return branches, on_unmatched or "output"
