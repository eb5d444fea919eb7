"""The table as data: one line a row, stable columns."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pandas as pd

from advbench.results.records import RUNGS, OverDraws, Row, Rung


def rungs_run(rows: Sequence[Row]) -> list[Rung]:
    """The rungs that any row has or will have, in the order of the ladder."""
    return [rung for rung in RUNGS if any(rung in row.rates or rung in row.pending for row in rows)]


def table_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The table in full precision: fractions of all `n` images, empty where a rung was not run.

    Columns: `model, dataset, n, defense, norm, eps, attack`, then `<rung>_accuracy, <rung>_low,
    <rung>_high, <rung>_count` for each rung that any row has, with `<rung>_draws_mean,
    <rung>_draws_std` where single draws of a random defense differ and `<rung>_median_distance` where an
    attack has looked for the smallest perturbations, then `masking_gap, substitute, verdict`; where rungs
    were compared image by image `masking_gap_low, masking_gap_high` (95 % score interval, Tango 1998) and
    `<rung>_p` (McNemar's exact p of the shattered rung and this one); `error` where a row has no numbers at
    all; of a run under way `<rung>_done`, images, where some rung is not done; where a detector may refuse
    images `<rung>_refused_count`, `<rung>_accepted_accuracy` (right of those that are accepted) and, but for
    clean images, `<rung>_success_rate` (felled of those that are accepted and right when clean); and where a
    random defense was judged by another rule than the majority `judge`, with `<rung>_mean_accuracy,
    <rung>_mean_low, <rung>_mean_high` over its draws, and `<rung>_any_accuracy, <rung>_any_low,
    <rung>_any_high, <rung>_any_count`, the images that stand in every submission.
    """
    frame = pd.DataFrame(flat_rows(rows))
    counts = {name: "Int64" for name in frame.columns if name.endswith(("_count", "_done"))}
    return frame.astype(counts)  # whole numbers stay whole beside missing ones


def flat_rows(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """The table as one flat dictionary a row, None where a rung was not run; keys as in `table_frame`."""
    rungs = rungs_run(rows)
    spread = [rung for rung in rungs if any(rung in row.rates and row.rates[rung].spread for row in rows)]
    median = [rung for rung in rungs if any(_median(row, rung) is not None for row in rows)]
    failed = any(row.error for row in rows)
    compared = [rung for rung in RUNGS if any(rung in row.pairs for row in rows)]
    begun = rungs if any(row.pending for row in rows) else []
    refusing = rungs if any(row.may_refuse for row in rows) else []
    judged = any(row.judge for row in rows)
    drawn = [rung for rung in rungs if any(_over_draws(row, rung) for row in rows)]
    for row in rows:
        cells = _flat(row, rungs, spread, median)
        if compared:
            cells |= _paired(row, compared)
        if failed:
            cells["error"] = row.error
        for rung in begun:
            cells[f"{rung}_done"] = _done(row, rung)
        if refusing:
            cells |= _refused(row, refusing)
        if judged:
            cells["judge"] = row.judge
        if drawn:
            cells |= _by_draws(row, drawn)
        yield cells


def _over_draws(row: Row, rung: Rung) -> OverDraws | None:
    return row.rates[rung].over_draws if rung in row.rates else None


def _by_draws(row: Row, drawn: Sequence[Rung]) -> dict[str, float | None]:
    """What the draws of a random defense come to on each rung."""
    cells: dict[str, float | None] = {}
    for rung in drawn:
        over_draws = _over_draws(row, rung)
        low, high = over_draws.interval if over_draws else (None, None)
        cells |= {f"{rung}_mean_accuracy": over_draws.mean if over_draws else None}
        cells |= {f"{rung}_mean_low": low, f"{rung}_mean_high": high}
        if rung == "clean":
            continue
        interval = over_draws.any_interval if over_draws else None
        low, high = interval or (None, None)
        cells |= {f"{rung}_any_accuracy": over_draws.any_accuracy if over_draws else None}
        cells |= {f"{rung}_any_low": low, f"{rung}_any_high": high}
        cells |= {f"{rung}_any_count": over_draws.unbroken if over_draws else None}
    return cells


def _done(row: Row, rung: Rung) -> int | None:
    """How many images of a rung are done; None where it is not run."""
    return row.pending[rung].done if rung in row.pending else row.n if rung in row.rates else None


def _refused(row: Row, rungs: Sequence[Rung]) -> dict[str, float | None]:
    """What a detector refuses on each rung, and what comes of the rest."""
    cells: dict[str, float | None] = {}
    for rung in rungs:
        rate = row.rates.get(rung)
        if rung != "worst":  # whose images are those of several rungs
            refused = rate.refused if rate else None
            cells[f"{rung}_refused_count"] = refused.images if refused else None
            cells[f"{rung}_accepted_accuracy"] = rate.accepted_accuracy if rate else None
        if rung != "clean":
            cells[f"{rung}_success_rate"] = row.success_rate(rung)
    return cells


def _paired(row: Row, compared: Sequence[Rung]) -> dict[str, float | None]:
    """What the rungs of a row differ by, image by image."""
    cells: dict[str, float | None] = {}
    if "bpda" in compared:
        low, high = row.masking_gap_interval or (None, None)
        cells = {"masking_gap_low": low, "masking_gap_high": high}
    for rung in compared:
        pairs = row.pairs.get(rung)
        cells[f"{rung}_p"] = pairs.p_value if pairs else None
    return cells


def _median(row: Row, rung: Rung) -> float | None:
    return row.rates[rung].median if rung in row.rates else None


def _flat(row: Row, rungs: Sequence[Rung], spread: Sequence[Rung], median: Sequence[Rung]) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "model": row.model,
        "dataset": row.dataset,
        "n": row.n,
        "defense": row.defense,
        "norm": row.norm,
        "eps": row.eps,
        "attack": row.attack,
    }
    for rung in rungs:
        rate = row.rates.get(rung)
        figures = (None,) * 4 if rate is None else (rate.accuracy, *rate.interval, rate.count)
        cells.update(zip(_columns(rung), figures, strict=True))
        if rung in spread:
            over_draws = rate.spread if rate else None
            cells[f"{rung}_draws_mean"] = over_draws.mean if over_draws else None
            cells[f"{rung}_draws_std"] = over_draws.deviation if over_draws else None
        if rung in median:
            cells[f"{rung}_median_distance"] = _median(row, rung)
    return cells | {"masking_gap": row.masking_gap, "substitute": row.substitute, "verdict": row.verdict}


@cache
def _columns(rung: Rung) -> tuple[str, str, str, str]:
    return f"{rung}_accuracy", f"{rung}_low", f"{rung}_high", f"{rung}_count"
