"""The table as words for people: what the Markdown and the terminal table have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from advbench.results.records import RUNGS, OverDraws, Rate, Row, Rung, SoFar

from .frame import rungs_run
from .style import GAP, LABELS, PLAIN, Style

MISSING: Final = "–"

TITLES: Final[dict[Rung, str]] = {
    "clean": "clean",
    "static": "static",
    "shattered": "shattered",
    "bpda": "BPDA",
    "gradient_free": "gradient-free",
    "label_only": "label-only",
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


@dataclass(frozen=True)
class Layout:
    """What goes where.

    Args:
        caption: what holds for every row.
        names: the columns that name a row, with the text of each row.
        rungs: the columns of accuracies.
        gap: whether the masking gap has a column.
        gap_interval: whether its interval is known of any row.
    """

    caption: str
    names: Mapping[str, Sequence[str]]
    rungs: Sequence[Rung]
    gap: bool
    gap_interval: bool


def layout(rows: Sequence[Row], style: Style = PLAIN) -> Layout:
    """The columns of a table: those that are asked for, or else those that say something.

    What all rows share (model, data set, threat, attack) goes into the caption; what differs becomes a
    column.
    """
    traits = _traits(rows)
    differs = {name: len(set(values)) > 1 for name, values in traits.items()}
    differs |= {"defense": True, "substitute": any(row.substitute for row in rows)}
    differs |= {"judge": len({row.judge for row in rows}) > 1}
    labels = [name for name in LABELS if differs[name]]
    rungs = rungs_run(rows)
    gap = any(row.masking_gap is not None for row in rows)
    if style.columns:
        labels = [name for name in style.columns if name in LABELS]
        rungs = [name for name in style.columns if name in RUNGS]
        gap = GAP in style.columns
    texts = {
        **traits,
        "defense": [row.defense for row in rows],
        "substitute": [row.substitute or MISSING for row in rows],
        "judge": [row.judge or MISSING for row in rows],
    }
    shared = [name for name in traits if name not in labels and not differs[name]]
    rules = {row.judge for row in rows} - ({""} if "judge" in labels else set())
    judged = [f"judge: {rule}" for rule in rules if len(rules) == 1 and rule and "judge" not in labels]
    return Layout(
        caption="; ".join([*(f"{name}: {traits[name][0]}" for name in shared), *judged]),
        names={name: texts[name] for name in labels},
        rungs=rungs,
        gap=gap,
        gap_interval=gap and any(row.masking_gap_interval is not None for row in rows),
    )


def grid(
    rows: Sequence[Row],
    breaks: tuple[str, str] = (" ", " "),
    style: Style = PLAIN,
    *,
    intervals: bool = True,
    gap_interval: bool = True,
) -> Grid:
    """The rows as words: accuracies with their interval, then their count.

    Args:
        rows: the table, at least one row, in their order.
        breaks: what stands in a cell between rate and interval, and between interval and count.
        style: which columns, and how numbers look.
        intervals: whether to tell them; without, titles may be broken too.
        gap_interval: whether to tell that of the gap, where it is known.
    """
    plan = layout(rows, style)
    plan = replace(plan, gap_interval=plan.gap_interval and intervals and gap_interval)
    cell = partial(_rate, breaks=breaks, style=style, intervals=intervals)
    return Grid(
        caption=plan.caption,
        header=[
            *plan.names,
            *(_title(rung, breaks, intervals) for rung in plan.rungs),
            *([GAP] if plan.gap else []),
        ],
        lines=[
            [
                *(texts[number] for texts in plan.names.values()),
                *(cell(row.rates.get(rung)) for rung in plan.rungs),
                *([_gap(row, breaks, style, plan)] if plan.gap else []),
            ]
            for number, row in enumerate(rows)
        ],
        labels=len(plan.names),
        notes=[
            *verdicts_of(rows),
            *_reading(rows, plan, style, intervals=intervals),
            *notes_of(rows, plan, style),
        ],
    )


def _traits(rows: Sequence[Row]) -> dict[str, list[str]]:
    """What rows may share or not, as words."""
    sizes = {row.dataset: row.n for row in rows if row.n}
    return {
        "model": [row.model for row in rows],
        # A cell that has no numbers has no images either, and differs from the others in nothing else.
        "dataset": [f"{row.dataset}, n = {row.n or sizes.get(row.dataset, 0)}" for row in rows],
        "threat": [f"{row.norm}, eps = {row.eps}" for row in rows],
        "attack": [row.attack for row in rows],
    }


def _title(rung: Rung, breaks: tuple[str, str], intervals: bool) -> str:
    return TITLES[rung] if intervals else TITLES[rung].replace("-", f"-{breaks[1].strip(' ')}")


def _rate(rate: Rate | None, breaks: tuple[str, str], style: Style, intervals: bool) -> str:
    if rate is None:
        return MISSING
    refused = "" if rate.refused is None else f"{breaks[1]}refused {rate.refused.images}"
    if not intervals:
        over = rate.over_draws
        mean = "" if over is None else f"{breaks[1]}mean {style.number(over.mean)}"
        worst = None if over is None else over.any_accuracy
        beside = mean if worst is None else f"{mean}{breaks[1]}any {style.number(worst)}"
        return f"{style.number(rate.accuracy)}{beside}{breaks[1]}{rate.count}/{rate.n}{refused}"
    low, high = map(style.number, rate.interval)
    interval = f"[{low}, {high}]"
    if rate.over_draws is not None:
        interval += "".join(f"{breaks[0]}{part}" for part in by_draws(rate.over_draws, style))
    elif rate.spread is not None:
        mean, deviation = map(style.number, rate.spread)
        interval += f"{breaks[0]}~{mean} ± {deviation}"
    beside = refused if rate.median is None else f"{breaks[1]}median {rate.median:.4g}{refused}"
    return f"{style.number(rate.accuracy)}{breaks[0]}{interval}{breaks[1]}{rate.count}/{rate.n}{beside}"


def by_draws(over_draws: OverDraws, style: Style) -> list[str]:
    """What the draws of a random defense come to, as it is printed: their mean, and who stands in all."""
    low, high = map(style.number, over_draws.interval)
    parts = [f"mean {style.number(over_draws.mean)} [{low}, {high}]"]
    if over_draws.any_accuracy is not None and over_draws.any_interval is not None:
        low, high = map(style.number, over_draws.any_interval)
        parts.append(f"any {style.number(over_draws.any_accuracy)} [{low}, {high}]")
    return parts


def draws_notes(rows: Sequence[Row], plan: Layout, style: Style) -> list[str]:
    """The same of each row that has it, a sentence a row, where cells have no room for it."""
    differing = _differing(rows)
    sentences = []
    for row in rows:
        rungs = {rung: row.rates[rung].over_draws for rung in plan.rungs if rung in row.rates}
        parts = [
            f"{TITLES[rung]} {', '.join(by_draws(over, style))}"
            for rung, over in rungs.items()
            if over is not None
        ]
        if parts:
            sentences.append(f"{', '.join([*_names(row, differing), row.defense])}: {'; '.join(parts)}.")
    return sentences


def _gap(row: Row, breaks: tuple[str, str], style: Style, plan: Layout) -> str:
    if row.masking_gap is None:
        return MISSING
    beside = f"{breaks[0]}{interval_text(row, style)}" if plan.gap_interval else ""
    return f"{style.number(row.masking_gap)}{beside}".rstrip()


def interval_text(row: Row, style: Style) -> str:
    """The interval of the masking gap as it is printed; '' where it is not known."""
    interval = row.masking_gap_interval
    return "" if interval is None else f"[{style.number(interval.low)}, {style.number(interval.high)}]"


def _reading(rows: Sequence[Row], plan: Layout, style: Style, *, intervals: bool) -> list[str]:
    """How to read the accuracies of a cell with interval, spread, count and distance."""
    if not intervals:
        return [
            f"{of_all(style)}, images left standing.",
            "Intervals do not fit here; the table in the run's folder has them.",
        ]
    sentences = [f"{of_all(style)}, [95 % Wilson interval], images left standing."] * bool(plan.rungs)
    shown = [rate for row in rows for rung, rate in row.rates.items() if rung in plan.rungs]
    if any(rate.spread and rate.over_draws is None for rate in shown):
        sentences.append(
            "~: mean ± standard deviation over single draws of a random defense; the accuracy before it is "
            "by the majority of each image's draws."
        )
    if any(rate.over_draws for rate in shown):
        sentences.append(
            "mean: over the draws of a random defense and all images; any: images that stand in every "
            "submission of their example."
        )
    if any(rate.median is not None for rate in shown):
        sentences.append("median: of the smallest perturbations found, over all images, whatever the radius.")
    if any(rate.refused for rate in shown):
        sentences.append(
            "refused: by the detector, of all images; an image stands on a rung if its example is refused or "
            "right, and when clean only if it is right and not refused."
        )
    return sentences


def of_all(style: Style) -> str:
    """What the numbers are."""
    return f"Accuracy {'in per cent' if style.percent else 'as a fraction'} of all images"


def notes_of(rows: Sequence[Row], plan: Layout, style: Style) -> list[str]:
    """What the gap is, why numbers are missing, and what speaks against them: a sentence each."""
    left_out = [
        name for name, values in _traits(rows).items() if len(set(values)) > 1 and name not in plan.names
    ]
    notes = [f"NOTE: the rows differ in {' and '.join(left_out)}, which has no column."] if left_out else []
    if plan.gap:
        points = ", in points" if style.percent else ""
        notes.append(
            f"gap: shattered minus BPDA accuracy{points}: robustness that was only a hidden gradient"
            + ("; [95 % score interval of the difference in pairs]." if plan.gap_interval else ".")
        )
    missing = [
        f"{MISSING} ({TITLES[rung]}, {row.defense}): {reason}."
        for row in rows
        for rung, reason in row.reasons.items()
        if rung in plan.rungs
    ]
    failed: dict[str, list[str]] = {}
    differing = _differing(rows) if any(row.error for row in rows) else []
    for row in rows:
        if row.error:
            failed.setdefault(row.error, []).append(", ".join([*_names(row, differing), row.defense]))
    missing += [f"{MISSING} ({'; '.join(names)}): {error}" for error, names in failed.items()]
    notes += _under_way(rows)
    doubts = [f"WARNING ({row.defense}): {warning}." for row in rows for warning in row.warnings]
    understood: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            understood.setdefault(note, []).append(row.model)
    several = len({row.model for row in rows}) > 1
    note_lines = [
        f"NOTE ({', '.join(dict.fromkeys(models))}): {note}." if several else f"NOTE: {note}."
        for note, models in understood.items()
    ]
    return notes + list(dict.fromkeys(missing + note_lines + doubts))


def _under_way(rows: Sequence[Row]) -> list[str]:
    """How far each row of a run under way has come, a sentence each; those that are to come in one."""
    differing = _differing(rows) if any(row.pending for row in rows) else []
    sentences, later = [], []
    for row in rows:
        name = ", ".join([*_names(row, differing), row.defense])
        # What follows from the others needs no word of its own.
        open_rungs = {rung: count for rung, count in row.pending.items() if rung not in ("clean", "worst")}
        begun = {rung: open_rung for rung, open_rung in open_rungs.items() if open_rung.done}
        if open_rungs and not row.rates and not begun:
            later.append(name)
        elif open_rungs:
            parts = [so_far_text(rung, open_rung, row.n) for rung, open_rung in open_rungs.items()]
            sentences.append(f"NOT FINISHED ({name}): {'; '.join(parts)}.")
    return sentences + ([f"NOT BEGUN: {'; '.join(later)}."] if later else [])


def so_far_text(rung: Rung, so_far: SoFar, n: int) -> str:
    """How far a rung has come, in words."""
    if not so_far.done:
        return f"{TITLES[rung]} to come"
    return f"{TITLES[rung]} {so_far.done} of {n} images done, {so_far.standing} of these stand"


def verdicts_of(rows: Sequence[Row]) -> list[str]:
    """What each row comes to, and what to do about it."""
    differing = _differing(rows)
    return [
        f"{', '.join([*_names(row, differing), row.defense])}: {row.verdict}"
        + (f" -> {'; '.join(dict.fromkeys(row.advice))}" if row.advice else "")
        for row in rows
        if row.verdict
    ]


def _differing(rows: Sequence[Row]) -> list[int]:
    """Which names of rows are not the same everywhere, as their places in what `_texts` gives."""
    return [
        place for place, values in enumerate(zip(*map(_texts, rows), strict=True)) if len(set(values)) > 1
    ]


def _names(row: Row, differing: Sequence[int]) -> list[str]:
    """What tells a row from the others beside its defense."""
    return [_texts(row)[place] for place in differing]


def _texts(row: Row) -> tuple[str, str, str]:
    return row.model, f"{row.norm}, eps = {row.eps}", row.attack
