"""
Draw the pictures of docs/guides/windows.md and joins.md: ``window_pictures.py [--check]``.

Each picture has a line of time with rows on it and, below, the windows that hold them. A test
calls it with ``--check``, so that the pictures stay what this file draws.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"

LEFT, WIDTH, LANE, TOP = 96, 640, 26, 58
SPAN = 40.0
"""Seconds on the line of time."""

INK, SOFT = "#6b7280", "#9ca3af"
COLOURS = {"a": "#2563eb", "b": "#d97706", "left": "#2563eb", "right": "#d97706"}
BAR = "#10b981"
EARLY = "#f59e0b"


@dataclass(frozen=True)
class Bar:
    """
    A window.

    Attributes:
        start: Its start, in seconds.
        end: Its end.
        text: What stands in it.
        open_end: Whether it goes on.
        colour: Of the bar.
    """

    start: float
    end: float
    text: str = ""
    open_end: bool = False
    colour: str = BAR


@dataclass(frozen=True)
class Picture:
    """
    A picture.

    Attributes:
        name: Of its file.
        title: For those who cannot see it.
        rows: Times of the rows, and their keys.
        lanes: Bars, one list below the other.
        labels: What stands in front of each lane.
        page: What the name of its file begins with.
    """

    name: str
    title: str
    rows: list[tuple[float, str]]
    lanes: list[list[Bar]]
    labels: list[str]
    page: str = "window"


ROWS = [(2, "a"), (6, "b"), (11, "a"), (13, "a"), (18, "b"), (24, "a"), (33, "a"), (36, "b")]
OF_A = [(time, key) for time, key in ROWS if key == "a"]

PICTURES = [
    Picture(
        "tumbling",
        "Tumbling windows of 10 s: side by side, each row in one of them",
        ROWS,
        [
            [Bar(0, 10, "1"), Bar(10, 20, "2"), Bar(20, 30, "1"), Bar(30, 40, "1")],
            [Bar(0, 10, "1"), Bar(10, 20, "1"), Bar(30, 40, "1")],
        ],
        ["key a", "key b"],
    ),
    Picture(
        "hopping",
        "Hopping windows of 20 s that begin every 10 s: each row in two of them",
        OF_A,
        [
            [Bar(0, 20, "3"), Bar(20, 40, "2")],
            [Bar(-10, 10, "1"), Bar(10, 30, "3"), Bar(30, 50, "1", open_end=True)],
        ],
        ["key a", ""],
    ),
    Picture(
        "sliding",
        "Sliding windows of 12 s: for each row, the rows of the 12 s before it",
        OF_A,
        [
            [Bar(-10, 2, "1")],
            [Bar(-1, 11, "2")],
            [Bar(1, 13, "3")],
            [Bar(12, 24, "2")],
            [Bar(21, 33, "2")],
        ],
        ["row at 2", "row at 11", "row at 13", "row at 24", "row at 33"],
    ),
    Picture(
        "session",
        "Sessions with a gap of 8 s: rows without a pause between them",
        OF_A,
        [[Bar(2, 10, "1"), Bar(11, 21, "2"), Bar(24, 32, "1"), Bar(33, 41, "1", open_end=True)]],
        ["key a"],
    ),
    Picture(
        "count",
        "Windows of 3 rows, one beginning with every row",
        OF_A,
        [
            [Bar(2, 13, "3")],
            [Bar(11, 24, "3")],
            [Bar(13, 33, "3")],
            [Bar(24, 40, "2 so far", True)],
        ],
        ["key a", "", "", ""],
    ),
    Picture(
        "emit",
        "Results of one window of 20 s with a grace of 5 s: final, changes, early",
        [(2, "a"), (6, "a"), (11, "a"), (13, "a"), (21, "a"), (26, "a")],
        [
            [Bar(0, 20, "window"), Bar(20, 25, "grace", colour=SOFT)],
            [Bar(25.4, 27.4, "4")],
            [Bar(t, t + 2, str(n), colour=EARLY) for t, n in ((2, 1), (6, 2), (11, 3), (13, 4))]
            + [Bar(25.4, 27.4, "4")],
            [Bar(10, 12, "2", colour=EARLY), Bar(20, 22, "4", colour=EARLY), Bar(25.4, 27.4, "4")],
        ],
        ["", "final", "changes", "early(10)"],
    ),
    Picture(
        "interval",
        "An interval join: a row of the left matches the right from 5 s before to 10 s after",
        [(7, "right"), (10, "left"), (16, "right"), (23, "right"), (29, "left")],
        [
            [Bar(5, 20, "2 matches"), Bar(20, 25, "grace", colour=SOFT)],
            [Bar(24, 39, "none: given alone behind the grace"), Bar(39, 44, colour=SOFT)],
        ],
        ["left at 10", "left at 29"],
        "join",
    ),
    Picture(
        "asof",
        "An as-of join: a row of the left takes the newest version at or before its time",
        [(2, "right"), (8, "left"), (14, "right"), (19, "left"), (28, "right"), (34, "left")],
        [
            [
                Bar(2, 14, "version of 2"),
                Bar(14, 28, "version of 14"),
                Bar(28, 40, "version of 28", open_end=True),
            ],
            [Bar(8, 13, "waits", colour=SOFT), Bar(19, 24, "waits", colour=SOFT)],
        ],
        ["right", "left, grace 5"],
        "join",
    ),
    Picture(
        "table",
        "A stream that meets a table, in the order of arrival: each row takes what is there",
        [(5, "left"), (10, "right"), (16, "left"), (24, "right"), (32, "left")],
        [
            [Bar(10, 24, "row of 10"), Bar(24, 40, "row of 24", open_end=True)],
            [
                Bar(5, 9, "alone", colour=EARLY),
                Bar(16, 21, "with 10", colour=EARLY),
                Bar(32, 37, "with 24", colour=EARLY),
            ],
        ],
        ["table", "results"],
        "join",
    ),
    Picture(
        "tables",
        "Two tables, in the order of arrival: each change gives the joined row anew",
        [(4, "left"), (11, "right"), (20, "right"), (30, "left")],
        [
            [Bar(4, 30, "4"), Bar(30, 40, "removed", open_end=True, colour=SOFT)],
            [Bar(11, 20, "11"), Bar(20, 40, "20", open_end=True)],
            [
                Bar(11, 20, "4 with 11"),
                Bar(20, 30, "4 with 20"),
                Bar(30, 35, "removal", colour=EARLY),
            ],
        ],
        ["left", "right", "results"],
        "join",
    ),
    Picture(
        "lookup",
        "A lookup with a ttl of 15 s: the first row of a key asks, rows of its time do not",
        [(4, "a"), (8, "a"), (12, "b"), (17, "a"), (28, "a"), (31, "b")],
        [
            [
                Bar(4, 6, colour=EARLY),
                Bar(6, 21, "answer for a"),
                Bar(28, 30, colour=EARLY),
                Bar(30, 40, "answer for a", open_end=True),
            ],
            [
                Bar(12, 14, colour=EARLY),
                Bar(14, 29, "none for b", colour=SOFT),
                Bar(31, 33, colour=EARLY),
                Bar(33, 40, "answer for b", open_end=True),
            ],
        ],
        ["call, cache", "call, cache"],
        "join",
    ),
]


def x(seconds: float) -> float:
    """Place of a time."""
    return LEFT + seconds / SPAN * WIDTH


def draw(picture: Picture) -> str:
    """Write a picture as SVG."""
    height = TOP + len(picture.lanes) * LANE + 8
    width = LEFT + WIDTH + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
        ' role="img" font-family="sans-serif" font-size="12">',
        f"<title>{picture.title}</title>",
        f'<clipPath id="line"><rect x="{LEFT}" y="0" width="{WIDTH}" ',
        f'height="{height}"/></clipPath>',
        *_axis(height),
        *(_row(time, key) for time, key in picture.rows),
    ]
    for number, (bars, label) in enumerate(zip(picture.lanes, picture.labels, strict=True)):
        top = TOP + number * LANE
        parts.append(_text(LEFT - 10, top + 14, label, INK, "end"))
        parts += [part for bar in bars for part in _bar(bar, top)]
    return "\n".join([*parts, "</svg>", ""])


def _axis(height: int) -> Iterable[str]:
    yield f'<line x1="{LEFT}" y1="40" x2="{LEFT + WIDTH}" y2="40" stroke="{INK}"/>'
    for seconds in range(0, int(SPAN) + 1, 10):
        place = x(seconds)
        yield (
            f'<line x1="{place}" y1="36" x2="{place}" y2="{height}" stroke="{SOFT}" '
            f'stroke-opacity="0.4" stroke-dasharray="2 3"/>'
        )
        yield _text(place, 14, f"{seconds} s", INK, "middle")


def _row(time: float, key: str) -> str:
    return f'<circle cx="{x(time)}" cy="40" r="5" fill="{COLOURS[key]}"/>' + _text(
        x(time), 30, key, COLOURS[key], "middle"
    )


def _bar(bar: Bar, top: int) -> Iterable[str]:
    dash = ' stroke-dasharray="4 3"' if bar.open_end else ""
    yield (
        f'<rect clip-path="url(#line)" x="{x(bar.start) + 1}" y="{top}" '
        f'width="{x(bar.end) - x(bar.start) - 2}" height="{LANE - 7}" rx="4" fill="{bar.colour}" '
        f'fill-opacity="0.25" stroke="{bar.colour}"{dash}/>'
    )
    middle = (max(bar.start, 0) + min(bar.end, SPAN)) / 2
    yield _text(x(middle), top + 14, bar.text, INK, "middle")


def _text(at: float, y: float, text: str, colour: str, anchor: str) -> str:
    return f'<text x="{at}" y="{y}" fill="{colour}" text-anchor="{anchor}">{text}</text>'


def main() -> int:
    """Write the pictures, or say which are stale."""
    stale = []
    IMAGES.mkdir(exist_ok=True)
    for picture in PICTURES:
        path = IMAGES / f"{picture.page}-{picture.name}.svg"
        drawn = draw(picture)
        if "--check" not in sys.argv:
            path.write_text(drawn, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != drawn:
            stale.append(path.name)
    if stale:
        print(f"stale: {', '.join(stale)}; python scripts/window_pictures.py draws them")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
