"""Curves on two logarithmic axes, as an SVG of a few lines that reads in light and in dark."""

import html
import math
from collections.abc import Mapping, Sequence

__all__ = ["log_log"]

_WIDTH, _HEIGHT = 752, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 160, 32, 48
_COLORS = ("#1f77b4", "#d62728", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b")
_GREY = "#888888"

Points = Sequence[tuple[float, float]]


class _Axis:
    """Values between two powers of ten to places between two pixels."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        self.low = math.log10(min(values)) - 0.05
        self.high = math.log10(max(values)) + 0.05
        self._first, self._last = first, last

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self._first + share * (self._last - self._first), 1)

    def marks(self) -> list[float]:
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        every = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        return [one for one in every if self.low <= math.log10(one) <= self.high]


def log_log(lines: Mapping[str, Points], *, title: str, x: str, y: str) -> str:
    """
    Draw *lines*.

    Args:
        lines: Points by the name of their line; what is not above zero is left out.
        title: Of the picture.
        x: What is below.
        y: What is at the left.
    """
    kept = {name: [(a, b) for a, b in points if a > 0 and b > 0] for name, points in lines.items()}
    points = [point for mine in kept.values() for point in mine]
    if not points:
        raise ValueError("there is nothing to draw: no line has a point above zero")
    across = _Axis([a for a, _ in points], _LEFT, _WIDTH - _RIGHT)
    up = _Axis([b for _, b in points], _HEIGHT - _BOTTOM, _TOP)
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f"<title>{html.escape(title)}</title>",
        *_grid(across, up),
        _text(_LEFT, 18, y, "middle"),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, x, "middle"),
    ]
    names = sorted(kept, key=lambda name: up.at(kept[name][-1][1]) if kept[name] else 0.0)
    for place, name in enumerate(names):
        color = _COLORS[list(lines).index(name) % len(_COLORS)]
        parts += _line(name, [(across.at(a), up.at(b)) for a, b in kept[name]], color, place)
    return "\n".join([*parts, "</svg>", ""])


def _grid(across: _Axis, up: _Axis) -> list[str]:
    parts = []
    for value in across.marks():
        at = across.at(value)
        parts.append(_rule(at, _TOP, at, _HEIGHT - _BOTTOM))
        parts.append(_text(at, _HEIGHT - _BOTTOM + 16, _short(value), "middle"))
    for value in up.marks():
        at = up.at(value)
        parts.append(_rule(_LEFT, at, _WIDTH - _RIGHT, at))
        parts.append(_text(_LEFT - 6, at + 4, _short(value), "end"))
    return parts


def _line(name: str, points: Points, color: str, place: int) -> list[str]:
    path = " ".join(f"{a},{b}" for a, b in points)
    dots = "".join(f'<circle cx="{a}" cy="{b}" r="3" fill="{color}"/>' for a, b in points)
    at = _TOP + 12 + place * 18
    edge = _WIDTH - _RIGHT + 12
    return [
        f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>{dots}',
        f'<rect x="{edge}" y="{at - 9}" width="10" height="10" fill="{color}"/>',
        _text(edge + 16, at, name, "start"),
    ]


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{_GREY}" stroke-opacity="0.3"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{_GREY}">{html.escape(text)}</text>'


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
