"""What figures show, before anyone draws them: records in, points out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

from advbench.results.records import Candidate, Row

from .frame import rungs_run
from .grid import TITLES, layout
from .style import PLAIN, Style, radius_of

MOST_ROWS: Final = 40
MOST_CURVES: Final = 6
"""As many as marks and dashes tell apart."""


@dataclass(frozen=True)
class Point:
    """A value with its interval, of one of a plot's kinds."""

    kind: str
    value: float
    low: float
    high: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Dots:
    """A dot plot: a line a row, a mark a kind.

    Args:
        name: for files.
        title: above it.
        axis: what the values are.
        limits: of the axis.
        kinds: what the marks stand for, in the order of the legend.
        rows: the points of each row, and the row's name.
        note: what is left out; '' for nothing.
    """

    name: str
    title: str
    axis: str
    limits: tuple[float, float]
    kinds: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Point]]]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """A plot of curves.

    Args:
        name: for files.
        title: above it.
        x: what is on the horizontal axis.
        y: what is on the vertical one.
        lines: the points of each curve, by its name.
        stairs: whether a value holds until the next point, or points are joined.
        log: whether the horizontal axis is logarithmic.
        note: what is left out; '' for nothing.
    """

    name: str
    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    stairs: bool = False
    log: bool = False
    note: str = ""


Chart = Dots | Curves


def ladder(rows: Sequence[Row], style: Style = PLAIN) -> Dots | None:
    """Every row's accuracy on every rung, with its interval; None where no row has numbers."""
    names = row_names(rows) if rows else []
    shown = [(name, row) for name, row in zip(names, rows, strict=True) if row.rates]
    if not shown:
        return None
    kinds = [TITLES[rung] for rung in rungs_run(rows)]
    scale = 100 if style.percent else 1
    points = [
        (
            name,
            [
                Point(
                    TITLES[rung],
                    scale * rate.accuracy,
                    scale * rate.interval.low,
                    scale * rate.interval.high,
                    f"{TITLES[rung]}: {style.number(rate.accuracy)} "
                    f"[{style.number(rate.interval.low)}, {style.number(rate.interval.high)}], "
                    f"{rate.count}/{rate.n}",
                )
                for rung, rate in row.rates.items()
            ],
        )
        for name, row in shown[:MOST_ROWS]
    ]
    return Dots(
        name="ladder",
        title="Accuracy on each rung",
        axis="accuracy, per cent of all images, 95 % interval"
        if style.percent
        else "accuracy, 95 % interval",
        limits=(0, scale),
        kinds=kinds,
        rows=points,
        note=f"the first {MOST_ROWS} of {len(shown)} rows" if len(shown) > MOST_ROWS else "",
    )


def radius_curve(rows: Sequence[Row], style: Style = PLAIN) -> Curves | None:
    """Accuracy against the radius, of what was attacked at three radii or more; None where nothing was.

    Of each row the last rung that it climbed, which is the strongest: worst, label-only, gradient-free,
    BPDA, shattered.
    """
    scale = 100 if style.percent else 1
    lines: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for row in rows:
        attacked = [rate for rung, rate in row.rates.items() if rung != "clean"]
        if attacked and isfinite(radius := radius_of(row.eps)):
            traits = (row.model, row.dataset, row.defense, row.norm, row.attack)
            lines.setdefault(traits, []).append((radius, scale * attacked[-1].accuracy))
    long = {traits: sorted(line) for traits, line in lines.items() if len(line) > 2}
    if not long:
        return None
    differing = [len(set(values)) > 1 for values in zip(*long, strict=True)]
    differing[2] = True  # the defense is always named
    names = [
        " · ".join(trait for trait, differs in zip(traits, differing, strict=True) if differs)
        for traits in long
    ]
    return Curves(
        name="radius",
        title="Accuracy against the radius",
        x="eps, in pixels from 0 to 1",
        y="accuracy, per cent of all images" if style.percent else "accuracy",
        lines=dict(zip(names[:MOST_CURVES], long.values(), strict=False)),
    )


def row_names(rows: Sequence[Row]) -> list[str]:
    """What tells each row from the others, in a line."""
    names = [texts for name, texts in layout(rows).names.items() if name != "substitute"]
    return [" · ".join(parts) for parts in zip(*names, strict=True)] if names else [""] * len(rows)


def agreement(candidates: Sequence[Candidate]) -> Dots | None:
    """How far the gradient of each substitute agrees with the defended loss; None without a search."""
    graded_candidates = [candidate for candidate in candidates if candidate.agreement is not None]
    if not graded_candidates:
        return None
    defenses = len({candidate.defense for candidate in graded_candidates}) > 1
    rows = [
        (
            f"{candidate.defense} · {candidate.substitute}" if defenses else candidate.substitute,
            [
                Point(
                    "attacks" if candidate.rank else "graded only",
                    candidate.agreement,
                    candidate.agreement,
                    candidate.agreement,
                    f"{candidate.agreement:.3f}"
                    + (
                        ""
                        if candidate.standing is None
                        else f"; a short attack left {candidate.standing}/{candidate.n}"
                    ),
                )
            ],
        )
        for candidate in graded_candidates[:MOST_ROWS]
        if candidate.agreement is not None
    ]
    return Dots(
        name="agreement",
        title="Gradient agreement of the substitutes",
        axis="cosine between foretold and measured differences of the loss",
        limits=(-1, 1),
        kinds=["attacks", "graded only"],
        rows=rows,
        note=f"the first {MOST_ROWS} of {len(graded_candidates)} substitutes"
        if len(graded_candidates) > MOST_ROWS
        else "",
    )


def training_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Curves]:
    """Loss and accuracy by epoch of each way of training.

    Args:
        histories: the epochs of each way, as `metrics.csv` has them; what is not there is left out.
    """
    titles = {
        "loss": "loss",
        "adver_loss": "adversarial loss",
        "accuracy": "training",
        "held_out": "held out",
    }
    charts = []
    for name, y, columns in (
        ("loss", "cross-entropy", ("loss", "adver_loss")),
        ("accuracy", "accuracy, per cent", ("accuracy", "held_out")),
    ):
        scale = 100 if name == "accuracy" else 1
        lines = {
            f"{way}, {titles[column]}": [
                (epoch["epoch"], scale * epoch[column]) for epoch in history if column in epoch
            ]
            for way, history in histories.items()
            for column in columns
        }
        there = {key: line for key, line in lines.items() if line}
        if there:
            charts.append(
                Curves(name=f"training-{name}", title=f"Training: {name}", x="epoch", y=y, lines=there)
            )
    return charts
