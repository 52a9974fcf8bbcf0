"""The failpoints of the core, as its source lists them, and how a worker gets to them."""

import re
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[4] / "src" / "failpoints" / "points.rs"
# Trouble that a worker gets over: an aborted transaction, an answer that is lost, a late one.
TROUBLES = (
    "commit::flushed={}*off->1*return(refused)->off",
    "commit::offsets_sent={}*off->1*return(refused)->off",
    "commit::committed={}*off->1*return(lost)->off",
    "commit::produced={}*off->1*sleep(4000)->off",
    "commit::offsets_sent={}*off->1*sleep(4000)->off",
)
_ENTRY = re.compile(r'\(\s*"([a-z_]+::[a-z_]+)",')

EVERYWHERE = ("store::",)
EXACT = ("commit::", "boot::")
"""Points of commits in transactions."""
LINE, TABLES = ("line::",), ("tables::",)
"""Points of commits without: of subscriptions, and of agents with tables."""
REFUSED = "commit::flushed=1*return(refused on purpose)->off"


@dataclass(frozen=True)
class Way:
    """
    How one life of a worker is brought to a point.

    Attributes:
        point: The point, where it ends.
        before: What else goes wrong on the way, as ``TURBINE_FAILPOINTS`` takes it.
        earlier: Point where the life before it ends.
        is_wiped: Whether it begins without state.
    """

    point: str
    before: str = ""
    earlier: str | None = None
    is_wiped: bool = False

    @property
    def armed(self) -> str:
        """What to arm."""
        return ";".join(filter(None, [self.before, f"{self.point}=kill"]))


_KNOWN = {
    way.point: way
    for way in [
        Way("commit::aborted", before=REFUSED),
        Way("commit::discarded", before=REFUSED),
        Way("boot::rolled_forward", earlier="commit::applies"),
    ]
}
_FROM_NOTHING = ("restore::", "changelog::")


def points(guarantee: str, *, with_agents: bool = False) -> list[str]:
    """Names of all points that a worker with *guarantee* can reach."""
    names = _ENTRY.findall(SOURCE.read_text(encoding="utf-8"))
    relaxed = TABLES if with_agents else LINE
    own = EXACT if guarantee == "exactly_once" else relaxed
    return [name for name in names if name.startswith((*EVERYWHERE, *own))]


def way_to(point: str) -> Way:
    """Return what brings a worker to *point*."""
    return _KNOWN.get(point) or Way(point, is_wiped=point.startswith(_FROM_NOTHING))
