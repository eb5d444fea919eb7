"""The table as words for people: what the Markdown and the terminal table have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from advbench.records import Rate, Row, Rung

from .frame import rungs_run

MISSING: Final = "–"

TITLES: Final[dict[Rung, str]] = {
    "clean": "clean",
    "static": "static",
    "shattered": "shattered",
    "bpda": "BPDA",
    "gradient_free": "gradient-free",
    "worst": "worst",
}


@dataclass(frozen=True)
class Grid:
    """A table of words.

    Args:
        caption: what holds for every row.
        header: titles of the columns.
        lines: the cells of each row; those after the first `labels` are numbers.
        labels: how many columns name the row.
        notes: why cells are missing, and how to read the others.
    """

    caption: str
    header: list[str]
    lines: list[list[str]]
    labels: int
    notes: list[str]


def grid(rows: Sequence[Row], breaks: tuple[str, str] = (" ", " "), *, intervals: bool = True) -> Grid:
    """The rows as words: per cent with their interval, then their count.

    What all rows share (model, data set, threat, attack) goes into the caption; what differs becomes a
    column.

    Args:
        rows: the table, at least one row.
        breaks: what stands in a cell between rate and interval, and between interval and count.
        intervals: whether to tell them; without, titles may be broken too.
    """
    sizes = {row.dataset: row.n for row in rows if not row.error}
    traits = {
        "model": [row.model for row in rows],
        "dataset": [f"{row.dataset}, n = {_size(row, sizes)}" for row in rows],
        "threat": [f"{row.norm}, eps = {row.eps}" for row in rows],
        "attack": [row.attack for row in rows],
    }
    differing = [name for name, values in traits.items() if len(set(values)) > 1]
    rungs = rungs_run(rows)
    gap = any(row.masking_gap is not None for row in rows)
    named = any(row.substitute not in ("", "identity") for row in rows)
    labels = [*differing, "defense", *(["substitute"] if named else [])]
    return Grid(
        caption="; ".join(f"{name}: {values[0]}" for name, values in traits.items() if name not in differing),
        header=[*labels, *(_title(rung, breaks, intervals) for rung in rungs), *(["gap"] if gap else [])],
        lines=[
            [
                *(traits[name][number] for name in differing),
                row.defense,
                *([row.substitute or MISSING] if named else []),
                *(_rate(row.rates.get(rung), breaks, intervals) for rung in rungs),
                *([_gap(row)] if gap else []),
            ]
            for number, row in enumerate(rows)
        ],
        labels=len(labels),
        notes=_notes(rows, gap, intervals),
    )


def _size(row: Row, sizes: Mapping[str, int]) -> int:
    """How many images a row is about; one without numbers differs from the others in nothing else."""
    return sizes.get(row.dataset, row.n) if row.error else row.n


def _title(rung: Rung, breaks: tuple[str, str], intervals: bool) -> str:
    return TITLES[rung] if intervals else TITLES[rung].replace("-", f"-{breaks[1].strip(' ')}")


def _rate(rate: Rate | None, breaks: tuple[str, str], intervals: bool) -> str:
    if rate is None:
        return MISSING
    if not intervals:
        return f"{100 * rate.accuracy:.1f}{breaks[1]}{rate.count}/{rate.n}"
    low, high = rate.interval
    interval = f"[{100 * low:.1f}, {100 * high:.1f}]"
    if rate.spread is not None:
        mean, deviation = rate.spread
        interval += f"{breaks[0]}~{100 * mean:.1f} ± {100 * deviation:.1f}"
    distance = "" if rate.median is None else f"{breaks[1]}median {rate.median:.4g}"
    return f"{100 * rate.accuracy:.1f}{breaks[0]}{interval}{breaks[1]}{rate.count}/{rate.n}{distance}"


def _gap(row: Row) -> str:
    return MISSING if row.masking_gap is None else f"{100 * row.masking_gap:.1f}"


def _notes(rows: Sequence[Row], gap: bool, intervals: bool) -> list[str]:
    told = "[95 % Wilson interval], " if intervals else ""
    notes = [f"Accuracy in per cent of all images, {told}images left standing."]
    if not intervals:
        notes.append("Intervals do not fit here; the table in the run's folder has them.")
    if intervals and any(rate.spread for row in rows for rate in row.rates.values()):
        notes.append(
            "~: mean ± standard deviation over single draws of a random defense; the accuracy before it is "
            "by the majority of each image's draws."
        )
    if intervals and any(rate.median is not None for row in rows for rate in row.rates.values()):
        notes.append("median: of the smallest perturbations found, over all images, whatever the radius.")
    if gap:
        notes.append(
            "gap: shattered minus BPDA accuracy, in points: robustness that was only a hidden gradient."
        )
    missing = [
        f"{MISSING} ({TITLES[rung]}, {row.defense}): {reason}."
        for row in rows
        for rung, reason in row.reasons.items()
    ]
    failed: dict[str, list[str]] = {}
    for row in rows:
        if row.error:
            failed.setdefault(row.error, []).append(", ".join(_names(row, rows)))
    missing += [f"{MISSING} ({'; '.join(names)}): {error}" for error, names in failed.items()]
    doubts = [f"WARNING ({row.defense}): {each}." for row in rows for each in row.warnings]
    return [*_verdicts(rows), *notes, *dict.fromkeys(missing + doubts)]


def _verdicts(rows: Sequence[Row]) -> list[str]:
    """What each row comes to, and what to do about it."""
    return [
        f"{', '.join(_names(row, rows))}: {row.verdict}"
        + (f" -> {'; '.join(dict.fromkeys(row.advice))}" if row.advice else "")
        for row in rows
        if row.verdict
    ]


def _names(row: Row, rows: Sequence[Row]) -> list[str]:
    """What tells a row from the others: its defense, and what else differs."""
    traits = [(each.model, f"{each.norm}, eps = {each.eps}", each.attack) for each in (row, *rows)]
    differing = [mine for mine, *others in zip(*traits, strict=True) if set(others) != {mine}]
    return [*differing, row.defense]
