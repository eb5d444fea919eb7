"""How fast attacks get on: the share of images that have fallen after so many gradient passes."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import pandas as pd

from advbench.records import Row, Rung

from .charts import MOST_CURVES, Curves, row_names
from .grid import TITLES
from .style import PLAIN, Style

_CLIMBED: Final[tuple[Rung, ...]] = ("shattered", "bpda")
"""The rungs that are climbed along gradients."""

_DECADES: Final = 100
"""Passes beyond which the axis is logarithmic: most images fall in the first few."""

Line = list[tuple[float, float]]


def success_by_steps(found: Sequence[tuple[Row, pd.DataFrame]], style: Style = PLAIN) -> Curves | None:
    """The share of all images that have fallen after so many gradient passes, for each row and rung.

    The records hold the passes that were spent on each image until it fell, and so give the curve exactly.
    An attack that spends all its passes on every image (on random defenses, for the smallest perturbation,
    with a single step) tells nothing of when its images fell, and has no curve. With too many curves, each
    row keeps that of its last rung.

    Args:
        found: rows, and the records of each, columns as in `records.SAMPLE_TYPES`.
        style: whether shares are per cent.
    """
    names = row_names([row for row, _ in found]) if found else []
    scale = 100.0 if style.percent else 1.0
    lines: dict[tuple[str, Rung], Line] = {}
    for name, (row, samples) in zip(names, found, strict=True):
        for rung in _CLIMBED:
            mine = samples[samples["rung"] == rung]
            if rung in row.rates and _tells_when(mine):
                lines[name, rung] = _line(mine, scale)
    if len(lines) > MOST_CURVES:
        last = dict(list(lines))  # a name and its last rung
        lines = {key: line for key, line in lines.items() if last[key[0]] == key[1]}
    if not lines:
        return None
    shown = dict(list(lines.items())[:MOST_CURVES])
    longest = max(line[-1][0] for line in shown.values())
    log = longest > _DECADES
    return Curves(
        name="steps",
        title="Success against gradient passes",
        x="gradient passes spent on an image",
        y="fallen, per cent of all images" if style.percent else "fallen, of all images",
        lines={
            f"{name} · {TITLES[rung]}": [(max(1.0, at), share) for at, share in line] if log else line
            for (name, rung), line in shown.items()
        },
        stairs=True,
        log=log,
        note=f"the first {len(shown)} of {len(lines)} rows" if len(lines) > len(shown) else "",
    )


def _tells_when(samples: pd.DataFrame) -> bool:
    """Whether images that fell early have cost less than others; where none fell, that is told too."""
    most = int(samples["steps"].max()) if len(samples) else 0
    fell = samples.loc[~samples["robust"] & (samples["steps"] > 0), "steps"]
    return most > 1 and (len(fell) == 0 or int(fell.min()) < most)


def _line(samples: pd.DataFrame, scale: float) -> Line:
    """Where the share rises, and where the attack ends."""
    counts = Counter(samples.loc[~samples["robust"], "steps"].tolist())
    line, fallen = [], 0
    for at in sorted({0, *counts, int(samples["steps"].max())}):
        fallen += counts[at]
        line.append((float(at), scale * fallen / len(samples)))
    return line
