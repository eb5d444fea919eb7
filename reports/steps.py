"""How attacks get on: what has fallen, and how far the loss has risen, after so many gradient passes."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd

from advbench.results.records import LOSS_COLUMNS, LOSS_MARKS, Row, Rung

from .charts import MOST_CURVES, Curves, row_names
from .grid import TITLES
from .style import PLAIN, Style

_CLIMBED: Final[tuple[Rung, ...]] = ("shattered", "bpda")
"""The rungs that are climbed along gradients."""

_DECADES: Final = 100
"""Passes beyond which the axis is logarithmic: most images fall in the first few."""

_LARGEST: Final = 3e38
"""Beyond any loss in float32, infinity included; the mean of smaller ones is finite."""

Line = list[tuple[float, float]]
RowRecords = Sequence[tuple[Row, pd.DataFrame]]


def success_by_steps(row_records: RowRecords, style: Style = PLAIN) -> Curves | None:
    """The share of all images that have fallen after so many gradient passes, for each row and rung.

    The records hold the passes that were spent on each image until it fell, and so give the curve exactly.
    An attack that spends all its passes on every image (on random defenses, for the smallest perturbation,
    with a single step) tells nothing of when its images fell, and has no curve. With too many curves, each
    row keeps that of its last rung.

    Args:
        row_records: rows, and the records of each, columns as in `records.SAMPLE_TYPES`.
        style: whether shares are per cent.
    """
    scale = 100.0 if style.percent else 1.0
    lines, note = _lines(row_records, lambda _, samples: _fallen(samples, scale))
    if not lines:
        return None
    log = max(line[-1][0] for line in lines.values()) > _DECADES
    return Curves(
        name="steps",
        title="Success against gradient passes",
        x="gradient passes spent on an image",
        y="fallen, per cent of all images" if style.percent else "fallen, of all images",
        lines={
            name: [(max(1.0, at), share) for at, share in line] if log else line
            for name, line in lines.items()
        },
        stairs=True,
        log=log,
        note=note,
    )


def loss_by_steps(row_records: RowRecords) -> Curves | None:
    """The mean over the attacked images of the attack's own loss, after so many of its iterates.

    An image's loss is that of its best iterate so far, and stays what it was when it fell. Attacks that do
    not tell their loss (those of other libraries, combinations, those for the smallest perturbation) have no
    curve; where several images were attacked a second time, with another substitute, the attack that is
    kept counts. Curves are chosen as for `success_by_steps`.

    Args:
        row_records: rows, and the records of each, columns as in `records.SAMPLE_TYPES`.
    """
    lines, note = _lines(row_records, lambda once, samples: _climbing(samples, once))
    if not lines:
        return None
    return Curves(
        name="loss",
        title="Loss along the attack",
        x="iterates of the attack: one a gradient step, and the last",
        y="its loss, mean of the images",
        lines=lines,
        log=True,
        note=note,
    )


def _lines(
    row_records: RowRecords, line_of: Callable[[bool, pd.DataFrame], Line | None]
) -> tuple[dict[str, Line], str]:
    """A curve for each row and rung that has one, as many as can be told apart, and what is left out.

    Args:
        row_records: rows, and the records of each.
        line_of: makes the curve of a rung's records; it is told whether each image was attacked only once.
    """
    names = row_names([row for row, _ in row_records]) if row_records else []
    lines: dict[tuple[str, Rung], Line] = {}
    for name, (row, samples) in zip(names, row_records, strict=True):
        for rung in _CLIMBED:
            once = rung != "bpda" or ";" not in row.substitute
            line = line_of(once, samples[samples["rung"] == rung]) if rung in row.rates else None
            if line is not None:
                lines[name, rung] = line
    if len(lines) > MOST_CURVES:
        last = dict(list(lines))  # a name and its last rung
        lines = {key: line for key, line in lines.items() if last[key[0]] == key[1]}
    shown = {f"{name} · {TITLES[rung]}": line for (name, rung), line in list(lines.items())[:MOST_CURVES]}
    return shown, f"the first {len(shown)} of {len(lines)} rows" if len(lines) > len(shown) else ""


def _fallen(samples: pd.DataFrame, scale: float) -> Line | None:
    """Where the share rises, and where the attack ends; None where the records do not tell.

    They do where images that fell early have cost less than others, and where none fell.
    """
    most = int(samples["steps"].max()) if len(samples) else 0
    fell = samples.loc[~samples["robust"] & (samples["steps"] > 0), "steps"]
    if most <= 1 or (len(fell) > 0 and int(fell.min()) == most):
        return None
    counts = Counter(samples.loc[~samples["robust"], "steps"].tolist())
    line, fallen = [], 0
    for at in sorted({0, *counts, most}):
        fallen += counts[at]
        line.append((float(at), scale * fallen / len(samples)))
    return line


def _climbing(samples: pd.DataFrame, once: bool) -> Line | None:
    """The mean loss at each mark that any image reached, and at the end if the records tell when that is."""
    records = samples[samples["loss_end"].abs() < _LARGEST]
    losses = records[list(LOSS_COLUMNS)].to_numpy()
    known = np.abs(losses[:, :-1]) < _LARGEST
    marks = np.flatnonzero(known.any(axis=0))
    if len(marks) == 0:
        return None
    first = known[known.any(axis=1)].argmax(axis=1).max()  # in L1 the first steps are taken outside the ball
    means = np.where(known, losses[:, :-1], losses[:, -1:]).mean(axis=0)
    line = [(float(LOSS_MARKS[mark]), float(means[mark])) for mark in range(first, marks[-1] + 1)]
    last, most = LOSS_MARKS[marks[-1]], int(records["steps"].max())
    if once and last <= most < 2 * last:  # or the passes are those of several draws
        line.append((most + 1.0, float(losses[:, -1].mean())))
    return line
