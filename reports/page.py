"""A run or several as one page that needs nothing else: no network, no other file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from advbench.results.records import Row, Rung

from .baseline import Comparison, paired_grid
from .bibliography import bibtex
from .charts import Chart
from .document import MOODS, column_head, document, heading, notes_list, section
from .formats import Origin, render
from .gallery import gallery_section
from .grid import MISSING, TITLES, Grid, by_draws, interval_text, layout, notes_of, of_all, so_far_text
from .pictures import Picture
from .style import GAP, PLAIN, Style, arranged
from .svg import svg

PAGE_FILE: Final = "report.html"


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a page shows.

    Args:
        title: its heading.
        rows: the table.
        origin: where the rows come from, as for `render`.
        style: order, columns and numbers.
        charts: figures.
        pictures: of the gallery.
        without: why there is no gallery; '' where there is one or none was asked for.
        comparisons: with a baseline; None without.
        settings: what the runs were, by their names.
    """

    title: str
    rows: Sequence[Row]
    origin: Origin = None
    style: Style = PLAIN
    charts: Sequence[Chart] = ()
    pictures: Sequence[Picture] = ()
    without: str = ""
    comparisons: Sequence[Comparison] | None = None
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def page(content: Page) -> str:
    """The page; everything that comes from records, files and names is escaped.

    A policy inside it lets nothing run but its own script, and nothing be fetched at all.
    """
    order = arranged(content.rows, content.style)
    rows = [content.rows[place] for place in order]
    body = [
        heading(content.title, layout(rows, content.style).caption),
        _verdicts(rows),
        _table(rows, content.style),
        _paired(content),
        _charts(content.charts),
        gallery_section(content.pictures, content.without),
        _texts(content),
        _settings(content.settings),
    ]
    return document(content.title, body)


def _verdicts(rows: Sequence[Row]) -> str:
    judged_rows = [(name, row) for name, row in zip(_names(rows), rows, strict=True) if row.verdict]
    if not judged_rows:
        return ""
    items = []
    for name, row in judged_rows:
        kind, _, evidence = row.verdict.partition(":")
        worst = row.rates.get("worst")
        counted = worst is None or kind in ("robust as measured", "not robust")  # whose evidence is the count
        left = "" if counted or worst is None else f"; {worst.count} of {worst.n} images survive every rung"
        advice = "".join(f"<br>Try: <code>{escape(fromkey)}</code>" for fromkey in dict.fromkeys(row.advice))
        items.append(
            f'<li class="{MOODS.get(kind, "unsure")}"><b>{escape(name)}: {escape(kind)}</b>{left}'
            + (f"<br>{escape(evidence.strip())}" if evidence else "")
            + f"{advice}</li>"
        )
    return section("Verdict", f'<ul class="verdicts">{"".join(items)}</ul>')


def _names(rows: Sequence[Row]) -> list[str]:
    names = [texts for name, texts in layout(rows).names.items() if name != "substitute"]
    return [" · ".join(parts) for parts in zip(*names, strict=True)]


def _table(rows: Sequence[Row], style: Style) -> str:
    plan = layout(rows, style)
    heads = [column_head(name) for name in plan.names]
    heads += [column_head(TITLES[rung], number=True) for rung in plan.rungs]
    heads += [column_head(GAP, number=True)] * plan.gap
    lines = [
        "<tr>"
        + "".join(f"<td>{escape(texts[place])}</td>" for texts in plan.names.values())
        + "".join(_accuracy(row, rung, style) for rung in plan.rungs)
        + (_gap(row, style) if plan.gap else "")
        + "</tr>"
        for place, row in enumerate(rows)
    ]
    notes = [f"{of_all(style)}, [95 % Wilson interval], images left standing.", *notes_of(rows, plan, style)]
    return section(
        "Table",
        '<div class="tools"><label>Filter rows<input id="filter" type="search" autocomplete="off"></label>'
        '</div><div class="wide" tabindex="0" role="region" aria-label="Table"><table class="sortable">'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>\n{chr(10).join(lines)}\n</tbody></table></div>"
        f"{notes_list(notes)}",
    )


def _accuracy(row: Row, rung: Rung, style: Style) -> str:
    rate = row.rates.get(rung)
    if rate is None:
        return _number(None, style, _why_missing(row, rung))
    low, high = map(style.number, rate.interval)
    small = [f"[{low}, {high}]", f"{rate.count}/{rate.n}"]
    if rate.over_draws is not None:
        small[1:1] = by_draws(rate.over_draws, style)
    elif rate.spread is not None:
        small.insert(1, f"~{style.number(rate.spread.mean)} ± {style.number(rate.spread.deviation)}")
    if rate.median is not None:
        small.append(f"median {rate.median:.4g}")
    if rate.refused is not None:
        small.append(f"refused {rate.refused.images}")
    return _number(rate.accuracy, style, "".join(f"<small>{line}</small>" for line in small))


def _gap(row: Row, style: Style) -> str:
    interval = interval_text(row, style)
    return _number(row.masking_gap, style, f"<small>{interval}</small>" if interval else "")


def _why_missing(row: Row, rung: Rung) -> str:
    if rung in row.pending:
        return so_far_text(rung, row.pending[rung], row.n)
    return row.reasons.get(rung, row.error or "not run")


def _number(value: float | None, style: Style, beside: str = "") -> str:
    """A cell with what it is sorted by; a missing one says why when it is pointed at."""
    if value is None:
        return f'<td class="number" data-value="" title="{escape(beside)}">{MISSING}</td>'
    return f'<td class="number" data-value="{value!r}">{style.number(value)}{beside}</td>'


def _paired(content: Page) -> str:
    if content.comparisons is None:
        return ""
    words = paired_grid(content.comparisons, content.style)
    return section("Against the baseline", _plain_table(words) + notes_list(words.notes))


def _plain_table(words: Grid) -> str:
    if not words.lines:
        return ""

    def cells(texts: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if place >= words.labels else ''}>{escape(text)}</{tag}>"
            for place, text in enumerate(texts)
        )

    lines = "".join(f"<tr>{cells(line, 'td')}</tr>" for line in words.lines)
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Comparisons"><table>'
        f"<thead><tr>{cells(words.header, 'th')}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _charts(charts: Sequence[Chart]) -> str:
    if not charts:
        return ""
    figures = [
        f"<figure>{svg(chart)}<figcaption>{escape(chart.title)}{escape(_left_out(chart))}</figcaption></figure>"
        for chart in charts
    ]
    return section("Figures", f'<div class="figures">{"".join(figures)}</div>')


def _left_out(chart: Chart) -> str:
    return f" ({chart.note})" if chart.note else ""


def _texts(content: Page) -> str:
    """The table for papers, to be copied."""
    texts = {
        "LaTeX": render(content.rows, "latex", None, content.style),
        "Markdown": render(content.rows, "markdown", None, content.style),
        "BibTeX": bibtex(content.rows, paired=content.comparisons is not None),
    }
    tools = "".join(f'<button type="button" data-copy="{name.lower()}">{name}</button>' for name in texts)
    blocks = "".join(
        f'<details><summary>{name}</summary><pre id="{name.lower()}">{escape(text)}</pre></details>'
        for name, text in texts.items()
    )
    return section("For papers", f'<div class="tools"><span class="dim">Copy</span>{tools}</div>{blocks}')


def _settings(settings: Mapping[str, Mapping[str, str]]) -> str:
    blocks = []
    for name, entries in settings.items():
        items = "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in entries.items())
        blocks.append(f"<details><summary>{escape(name)}</summary><dl>{items}</dl></details>")
    return section("Settings and provenance", "".join(blocks)) if blocks else ""
