"""Charts as SVG for a page: its text is the page's, its colours follow light and dark."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from math import ceil, floor, log10
from typing import Final, assert_never

from .charts import Chart, Curves, Dots

WIDTH: Final = 720
ROW: Final = 40
_STEP: Final = 9.0
"""Between the points of a row, whose marks have about that height."""
_LABEL: Final = 220
_RIGHT: Final = 24
_TOP: Final = 44
_BOTTOM: Final = 48
_HEIGHT: Final = 260
_LEGEND: Final = 18
_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3", "1 4", "10 4")


def svg(chart: Chart) -> str:
    """The chart as an `svg` element; marks differ in shape and lines in dashes, not in colour alone."""
    match chart:
        case Dots():
            return _dots(chart)
        case Curves():
            return _curves(chart)
        case _:
            assert_never(chart)


def _dots(chart: Dots) -> str:
    most = max((len(points) for _, points in chart.rows), default=0)
    row_height = max(float(ROW), _STEP * most + 14)
    height = _TOP + row_height * len(chart.rows) + _BOTTOM
    low, high = chart.limits

    def x(value: float) -> float:
        return _LABEL + (WIDTH - _LABEL - _RIGHT) * (value - low) / (high - low)

    bottom = height - _BOTTOM
    parts = [_legend(chart.kinds)[0], *_axis([(x(tick), f"{tick:g}") for tick in ticks(low, high)], bottom)]
    parts.append(
        f'<text class="axis" x="{x((low + high) / 2):.1f}" y="{bottom + 36}">{escape(chart.axis)}</text>'
    )
    for number, (name, points) in enumerate(chart.rows):
        y = _TOP + row_height * (number + 0.5)
        parts.append(
            f'<line class="row" x1="{_LABEL}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="name" x="{_LABEL - 10}" y="{y + 4:.1f}"><title>{escape(name)}</title>'
            f"{escape(_short(name))}</text>"
        )
        for place, point in enumerate(points):
            at, kind = y + _STEP * (place - (len(points) - 1) / 2), chart.kinds.index(point.kind)
            parts.append(
                f'<g class="k{kind}"><title>{escape(f"{name}; {point.label}")}</title>'
                f'<line x1="{x(point.low):.1f}" x2="{x(point.high):.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
                f"{_mark(kind, x(point.value), at)}</g>"
            )
    return _frame(chart.title, height, parts)


def _curves(chart: Curves) -> str:
    points = [point for line in chart.lines.values() for point in line]
    left, right = (end(_along(chart, point[0]) for point in points) for end in (min, max))
    low, high = min(0.0, *(point[1] for point in points)), max(point[1] for point in points)
    high = high if high > low else low + 1
    right = right if right > left else left + 1
    legend, lines = _legend(list(chart.lines), lines=True)
    top, edge = _TOP + _LEGEND * (lines - 1), 64
    bottom = top + _HEIGHT

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = edge + (WIDTH - edge - _RIGHT) * (_along(chart, point[0]) - left) / (right - left)
        return x, top + _HEIGHT * (high - point[1]) / (high - low)

    along = log_ticks(10**left, 10**right) if chart.log else ticks(left, right)
    parts = [legend, *_axis([(place((tick, low))[0], f"{tick:g}") for tick in along], bottom, top)]
    for tick in ticks(low, high):
        y = place((points[0][0], tick))[1]
        parts.append(
            f'<line class="row" x1="{edge}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="name" x="{edge - 8}" y="{y + 4:.1f}">{tick:g}</text>'
        )
    parts.append(
        f'<text class="axis" x="{WIDTH / 2}" y="{bottom + 36}">{escape(f"{chart.x}; {chart.y}")}</text>'
    )
    for number, line in enumerate(chart.lines.values()):
        corners = _stairs(line) if chart.stairs else line
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, corners))
        dashes = _DASHES[number % len(_DASHES)]
        parts.append(
            f'<polyline class="k{number % 6} curve" stroke-dasharray="{dashes}" points="{path}"/>'
            + ("".join(_mark(number % 6, *place(point)) for point in line) if len(line) == 1 else "")
        )
    return _frame(chart.title, bottom + _BOTTOM, parts)


def _along(chart: Curves, x: float) -> float:
    """Where a value lies along the horizontal axis."""
    return log10(x) if chart.log else x


def _stairs(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of a line whose value holds until the next point."""
    corners = [line[0]]
    for before, point in pairwise(line):
        corners += [(point[0], before[1]), point]
    return corners


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two ends, with 2 and 5 times them where there are few; the ends where none is."""
    among = (1, 2, 5) if high < 1000 * low else (1,)
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    all_ticks = [float(f"{digit}e{power}") for power in powers for digit in among]
    between = [tick for tick in all_ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
    return between or list(dict.fromkeys((low, high)))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between two ends: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / most
    power = 10 ** floor(log10(raw))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= raw * (1 - 1e-9))
    return [
        round(step * number, 12) for number in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)
    ]


def _axis(at: Sequence[tuple[float, str]], bottom: float, top: float = _TOP) -> list[str]:
    return [
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
        f'<text class="tick" x="{x:.1f}" y="{bottom + 18}">{text}</text>'
        for x, text in at
    ]


def _legend(kinds: Sequence[str], *, lines: bool = False) -> tuple[str, int]:
    """What the marks or the lines stand for, and in how many lines that is told."""
    parts, x, y = [], 12.0, 20
    for number, kind in enumerate(kinds):
        width = (22 if lines else 10) + 22 + 7.2 * len(kind)
        if x > 12 and x + width > WIDTH:
            x, y = 12.0, y + _LEGEND
        sign = (
            f'<polyline class="k{number % 6} curve" stroke-dasharray="{_DASHES[number % 6]}" '
            f'points="{x - 6:.1f},{y} {x + 16:.1f},{y}"/>'
            if lines
            else f'<g class="k{number}">{_mark(number, x, y)}</g>'
        )
        gap = 22 if lines else 10
        parts.append(f'{sign}<text class="legend" x="{x + gap:.1f}" y="{y + 4}">{escape(kind)}</text>')
        x += width
    return "".join(parts), (y - 20) // _LEGEND + 1


def _mark(kind: int, x: float, y: float) -> str:
    """Circle, square, diamond, triangles and a cross: told apart without their colours."""
    r = 4.5
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>',
        f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>',
        _polygon([(x, y - 5.5), (x + 5.5, y), (x, y + 5.5), (x - 5.5, y)]),
        _polygon([(x, y - 5), (x + 5, y + 4), (x - 5, y + 4)]),
        _polygon([(x, y + 5), (x + 5, y - 4), (x - 5, y - 4)]),
        f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/>',
    )
    return shapes[kind % len(shapes)]


def _polygon(points: Sequence[tuple[float, float]]) -> str:
    assert all(one != other for one, other in pairwise(points))
    return f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def _short(name: str, most: int = 32) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _frame(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
