"""Measured rounds of several libraries as a table and a figure."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

Clock = Literal["process", "wall"]
LIMIT, ADVBENCH = "limit", "advbench"
MISSING = "–"
CLOCKS: Mapping[Clock, str] = {"process": "processor's", "wall": "clock's"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """The rounds of one contestant at one point.

    Args:
        point: its name.
        title: what the table calls it.
        contestant: who.
        version: of it, where it has one.
        batch: the batch size that was the best for it.
        images: how many were attacked.
        process: the processor's seconds of each round.
        wall: the clock's seconds of each round.
        standing: how many images were left standing in each.
        reason: why there are no rounds.
    """

    point: str
    title: str
    contestant: str
    version: str = ""
    batch: int | str | None = None
    images: int
    process: Sequence[float] = field(default_factory=tuple)
    wall: Sequence[float] = field(default_factory=tuple)
    standing: Sequence[int] = field(default_factory=tuple)
    reason: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is this package."""
        return self.contestant.startswith(ADVBENCH)


def table(entries: Sequence[Entry]) -> pd.DataFrame:
    """A row an entry; empty where nothing was measured, with the reason in the last column."""
    return pd.DataFrame(
        [_row(entry, [other for other in entries if other.point == entry.point]) for entry in entries]
    )


def _row(entry: Entry, beside: Sequence[Entry]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "point": entry.point,
        "library": entry.contestant,
        "version": entry.version,
        "batch_size": entry.batch,
        "images": entry.images,
        "rounds": len(entry.process),
    }
    for name in ("process", "wall"):
        seconds = getattr(entry, name)
        limit = [
            statistics.median(getattr(one, name)) for one in beside if one.contestant == LIMIT and one.wall
        ]
        others = [
            statistics.median(getattr(one, name))
            for one in beside
            if one.contestant != LIMIT and not one.ours and one.wall
        ]
        median = statistics.median(seconds) if seconds else None
        row |= {
            f"{name}_seconds": median,
            f"{name}_least": min(seconds, default=None),
            f"{name}_most": max(seconds, default=None),
            f"{name}_of_limit": median / limit[0] if median and limit else None,
            f"{name}_of_fastest_other": median / min(others) if median and others else None,
        }
    row |= {
        "standing_least": min(entry.standing, default=None),
        "standing_most": max(entry.standing, default=None),
        "reason": entry.reason or ("" if entry.process else "no round yet"),
    }
    return row


def markdown(entries: Sequence[Entry]) -> str:
    """The table, a part a point."""
    header = [
        "library",
        "batch",
        "process s",
        "of limit",
        "of fastest other",
        "wall s",
        "of limit",
        "standing",
    ]
    parts = []
    rows = table(entries)
    for point, point_rows in rows.groupby("point", sort=False):
        title = next(entry.title for entry in entries if entry.point == point)
        lines = [f"**{title}**", "", _line(header), _line([":--", *["--:"] * 7])]
        lines += [_line(_words(row)) for row in point_rows.to_dict("records")]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _words(row: dict[Any, Any]) -> list[str]:
    name = f"{row['library']} {row['version']}".strip()
    if not row["rounds"]:
        return [name, f"{MISSING} ({row['reason']})", *[MISSING] * 6]
    least, most = row["standing_least"], row["standing_most"]
    standing = MISSING
    if not pd.isna(least):
        standing = f"{least:.0f}" if least == most else f"{least:.0f} to {most:.0f}"
        standing += f" of {row['images']}"
    numbers = [
        MISSING if pd.isna(row[key]) else f"{row[key]:.2f}"
        for key in (
            "process_seconds",
            "process_of_limit",
            "process_of_fastest_other",
            "wall_seconds",
            "wall_of_limit",
        )
    ]
    size = row["batch_size"]
    return [name, size if isinstance(size, str) else f"{size:.0f}", *numbers, standing]


def write_tables(entries: Sequence[Entry], out: Path, clock: Clock) -> None:
    """`table.csv`, `table.md`, and the figure, of one of the clocks, as PNG and SVG."""
    table(entries).to_csv(out / "table.csv", index=False)
    (out / "table.md").write_text(f"{markdown(entries)}\n", encoding="utf-8")
    try:
        draw(entries, out, clock)
    except ImportError:
        print("no figure: pip install 'advbench[figures]'", file=sys.stderr)


def draw(entries: Sequence[Entry], out: Path, clock: Clock) -> None:
    """A dot a round, relative to the limit (where there is none, to the fastest of the others)."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # an extra
    from matplotlib.ticker import LogLocator  # noqa: PLC0415

    measured = [entry for entry in entries if entry.process]
    points = list(dict.fromkeys(entry.point for entry in measured))
    sizes = [sum(entry.point == point for entry in measured) for point in points]
    figure = Figure(figsize=(7.0, 0.9 * len(points) + 0.25 * sum(sizes)), layout="constrained")
    panels = figure.subplots(len(points), 1, squeeze=False, sharex=True, height_ratios=sizes)[:, 0]
    for panel, point in zip(panels, points, strict=True):
        point_entries = [entry for entry in measured if entry.point == point]
        unit, of_what = _unit(point_entries, clock)
        for number, entry in enumerate(reversed(point_entries)):
            relative = [seconds / unit for seconds in getattr(entry, clock)]
            colour = "C3" if entry.ours else "0.45"
            panel.plot(relative, [number] * len(relative), "o", color=colour, alpha=0.35, markersize=4)
            panel.plot([statistics.median(relative)], [number], "|", color=colour, markersize=14, mew=2)
        panel.set_yticks(
            range(len(point_entries)),
            [f"{entry.contestant} {entry.version}" for entry in reversed(point_entries)],
        )
        panel.set_ylim(-0.6, len(point_entries) - 0.4)
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.xaxis.set_minor_formatter(lambda *_: "")
        panel.axvline(1.0, color="0.8", linewidth=0.8, zorder=0)
        panel.set_title(f"{point_entries[0].title} (1 is {of_what})", fontsize="small", loc="left")
        panel.tick_params(labelsize="small")
    panels[-1].set_xlabel(f"the {CLOCKS[clock]} seconds, relative; bars are medians", fontsize="small")
    for ending in ("png", "svg"):
        figure.savefig(out / f"figure.{ending}", dpi=150)


def _unit(entries: Sequence[Entry], clock: Clock) -> tuple[float, str]:
    medians = {entry.contestant: statistics.median(getattr(entry, clock)) for entry in entries}
    if LIMIT in medians:
        return medians[LIMIT], "the limit"
    others = {entry.contestant: medians[entry.contestant] for entry in entries if not entry.ours} or medians
    name = min(others, key=lambda contestant: others[contestant])
    return others[name], name
