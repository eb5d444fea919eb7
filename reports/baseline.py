"""Runs against a baseline: the same images in pairs, rung by rung, with McNemar's test."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from advbench.results.records import UNDEFENDED, Row, Rung
from advbench.results.statistics import PairedCounts, count_pairs
from advbench.results.table import of_row

from .grid import MISSING, TITLES, Grid
from .style import PLAIN, Style

NOTE: Final = (
    "Differences on the same images, row minus baseline, [95 % score interval, Tango 1998]; images that "
    "stand in one alone; p: McNemar's exact test, two-sided, not corrected for several comparisons."
)
_TRAITS: Final = ("model", "dataset", "defense", "norm", "eps", "attack")
_SMALLEST: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class Side:
    """A run as one side of comparisons.

    Args:
        name: what the run is called.
        rows: its table.
        samples: its records, columns as in `records.SAMPLE_TYPES`.
        fingerprint: a hash of its images and labels; '' where it is not known.
    """

    name: str
    rows: Sequence[Row]
    samples: pd.DataFrame
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A row on one rung against a row of the baseline.

    Args:
        row: the row.
        other: the baseline's; None where it has no counterpart.
        rung: the rung; None where nothing is compared.
        pairs: the images in pairs, the row's first; None where nothing is compared.
        reason: why nothing is compared.
    """

    row: Row
    other: Row | None = None
    rung: Rung | None = None
    pairs: PairedCounts | None = None
    reason: str = ""


def compare(side: Side, baseline: Side) -> list[Comparison]:
    """Compare every row of a run with its counterpart, on every rung that both have.

    The counterpart has the same defense, threat and attack; where there is none, it is the baseline's only
    row of the same threat and attack that is defended as well, or undefended as well.
    """
    if not side.fingerprint or side.fingerprint != baseline.fingerprint:
        reason = f"the images of {side.name} are not those of {baseline.name}"
        return [Comparison(row=row, reason=reason) for row in side.rows]
    comparisons = []
    for row in side.rows:
        other = _counterpart(row, baseline.rows)
        if other is None:
            reason = f"{baseline.name} has no single row to compare with"
            comparisons.append(Comparison(row=row, reason=reason))
            continue
        for rung in [rate for rate in row.rates if rate in other.rates]:
            standing = _standing(side.samples, row, rung), _standing(baseline.samples, other, rung)
            comparisons.append(_compared(row, other, rung, standing))
    return comparisons


def _compared(
    row: Row, other: Row, rung: Rung, standing: "tuple[pd.Series[bool], pd.Series[bool]]"
) -> Comparison:
    row_standing, other_standing = standing
    if not row_standing.index.equals(other_standing.index):
        return Comparison(row=row, other=other, reason="the two runs chose other images of the data set")
    return Comparison(
        row=row, other=other, rung=rung, pairs=count_pairs(row_standing.to_numpy(), other_standing.to_numpy())
    )


def _standing(samples: pd.DataFrame, row: Row, rung: Rung) -> "pd.Series[bool]":
    """Whether each image of a row stands on a rung, by its index; on the worst, whether on all of them."""
    records = of_row(samples, row.defense, row.attack)
    return (records if rung == "worst" else records[records["rung"] == rung]).groupby("index")["robust"].all()


def _counterpart(row: Row, rows: Sequence[Row]) -> Row | None:
    near = [
        other for other in rows if (other.norm, other.eps, other.attack) == (row.norm, row.eps, row.attack)
    ]
    same = [other for other in near if other.defense == row.defense]
    alike = [other for other in near if (other.defense == UNDEFENDED) == (row.defense == UNDEFENDED)]
    return next((few[0] for few in (same, alike) if len(few) == 1), None)


def paired_grid(comparisons: Sequence[Comparison], style: Style = PLAIN) -> Grid:
    """The comparisons as words: a line each, and why others are missing as notes."""
    made = [comparison for comparison in comparisons if comparison.pairs is not None]
    differing = [name for name in _TRAITS if len({getattr(comparison.row, name) for comparison in made}) > 1]
    names = list(dict.fromkeys(["defense", *differing]))
    lines = [
        [
            *(getattr(comparison.row, name) for name in names),
            _against(comparison),
            TITLES[comparison.rung],
            _difference(comparison.pairs, style),
            f"{comparison.pairs.only_first} / {comparison.pairs.only_second}",
            p_text(comparison.pairs.p_value),
        ]
        for comparison in made
        if comparison.pairs is not None and comparison.rung is not None
    ]
    header = [*names, "against", "rung", "difference", "only row /\nonly base", "p"]
    missing = [
        f"{MISSING} ({comparison.row.defense}, {comparison.row.attack}): {comparison.reason}."
        for comparison in comparisons
        if comparison.reason
    ]
    return Grid(
        caption="Differences from the baseline",
        header=header,
        lines=lines,
        labels=len(names) + 2,
        notes=[*([NOTE] if made else []), *dict.fromkeys(missing)],
    )


def paired_csv(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as data, a line each; why nothing is compared stands in `reason`."""
    text = io.StringIO()
    lines = [paired_fields(comparison) for comparison in comparisons]
    writer = csv.DictWriter(text, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def paired_json(comparisons: Sequence[Comparison]) -> str:
    """The same as JSON."""
    fields = [paired_fields(comparison) for comparison in comparisons]
    return f"{json.dumps(fields, indent=2, ensure_ascii=False)}\n"


def paired_fields(comparison: Comparison) -> Mapping[str, Any]:
    """One comparison as a flat dictionary, None where nothing is compared; differences are fractions."""
    pairs, other = comparison.pairs, comparison.other
    return {
        **{name: getattr(comparison.row, name) for name in _TRAITS},
        **{f"baseline_{name}": getattr(other, name) if other else None for name in _TRAITS},
        "rung": comparison.rung,
        "n": pairs.n if pairs else None,
        "difference": pairs.difference if pairs else None,
        "low": pairs.interval.low if pairs else None,
        "high": pairs.interval.high if pairs else None,
        "both": pairs.both if pairs else None,
        "only_row": pairs.only_first if pairs else None,
        "only_baseline": pairs.only_second if pairs else None,
        "p": pairs.p_value if pairs else None,
        "reason": comparison.reason,
    }


def p_text(p: float) -> str:
    """A p-value in two digits."""
    return f"< {_SMALLEST:.4f}" if p < _SMALLEST else f"{p:.2g}"


def _against(comparison: Comparison) -> str:
    assert comparison.other is not None
    same_model = comparison.other.model == comparison.row.model
    if comparison.other.defense == comparison.row.defense:
        return "the same" if same_model else comparison.other.model
    return comparison.other.defense if same_model else f"{comparison.other.model}, {comparison.other.defense}"


def _difference(pairs: PairedCounts | None, style: Style) -> str:
    assert pairs is not None
    low, high = pairs.interval
    sign = [("+" if value > 0 else "") + style.number(value) for value in (pairs.difference, low, high)]
    return f"{sign[0]} [{sign[1]}, {sign[2]}]"
