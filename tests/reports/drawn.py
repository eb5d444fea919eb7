"""Charts that the tests of drawings share."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import pandas as pd

from advbench.reports.charts import Chart, Curves, Dots, agreement, ladder, training_curves
from advbench.reports.steps import success_by_steps
from advbench.results.records import Candidate, Rate, Row, Rung
from tests.reports.records import HOSTILE, ROUND, ROWS

FOUND = [
    Candidate(defense="round", substitute="identity", n=64, standing=3, agreement=0.91, rank=1),
    Candidate(defense="round", substitute=HOSTILE, n=64, standing=40, agreement=-0.1),
    Candidate(defense="round", substitute="skip", note="does not fit"),
]


HISTORY = [{"epoch": float(epoch), "loss": 2 / epoch, "accuracy": 1 - 1 / epoch} for epoch in range(1, 6)]


def whole_ladder() -> Dots:
    chart = ladder(ROWS)
    assert chart is not None
    return chart


def charts() -> list[Chart]:
    found = agreement(FOUND)
    assert found is not None
    many = climbed(*[{"shattered": [0, 1, 3], "bpda": [0, 1, 2]}] * 3)
    curves = training_curves({"apart": HISTORY, HOSTILE: HISTORY[:1]})
    return [whole_ladder(), found, *curves, climbed({"bpda": [0, 1, 3, 3, 7]}, {"bpda": [None, 200]}), many]


Passes = Mapping[str, Sequence[int | None]]
"""The gradient passes until each image fell on each rung; None for one that stands after the most of all."""


def climbed(*found: Passes) -> Curves:
    """The chart of rows whose images fell after so many gradient passes."""
    chart = success_by_steps([row_of(str(number), passes) for number, passes in enumerate(found)])
    assert chart is not None
    return chart


def row_of(name: str, found: Passes) -> tuple[Row, pd.DataFrame]:
    records = [
        {"rung": rung, "robust": each is None, "steps": max(filter(None, passes)) if each is None else each}
        for rung, passes in found.items()
        for each in passes
    ]
    rates = {cast("Rung", rung): Rate(passes.count(None), len(passes)) for rung, passes in found.items()}
    return replace(ROUND, defense=name, rates=rates), pd.DataFrame(records)
