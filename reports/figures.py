"""Charts and galleries for papers, by matplotlib: readable in grey and by the colour-blind."""

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal, assert_never

from advbench.errors import InputError, SpecError, nearest

from .charts import Chart, Curves, Dots
from .grid import TITLES
from .pictures import Picture
from .svg import log_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FigureFormat = Literal["pdf", "svg", "png"]
FIGURE_FORMATS: Final[tuple[FigureFormat, ...]] = ("pdf", "svg", "png")

# Okabe and Ito's colours, which the colour-blind can tell apart; marks and dashes differ too.
_COLOURS: Final = ("#000000", "#E69F00", "#0072B2", "#D55E00", "#009E73", "#CC79A7")
_MARKS: Final = ("o", "s", "D", "^", "v", "X")
_DASHES: Final = ("-", "--", ":", "-.", (0, (1, 3)), (0, (8, 3)))
_INSIDE: Final = 3  # as many curves as leave room for their legend
_LEGEND: Final = 0.1  # inches for each curve that its legend above takes
_SETTINGS: Final[dict[str, Any]] = {
    "font.size": 9,
    "svg.hashsalt": "advbench",  # or every drawing has other names inside
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a name with two dollars is a name
}


def check_matplotlib() -> None:
    """See whether figures can be drawn here.

    Raises:
        InputError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise InputError("figures need matplotlib: pip install 'advbench[figures]'.")


def draw_named(charts: Mapping[str, Chart], name: str, form: FigureFormat, whose: str) -> bytes:
    """One of several charts as a file.

    Args:
        charts: by their names.
        name: of the one that is wanted.
        form: of the file.
        whose: what has the charts, for the message: a run, a report.

    Raises:
        SpecError: no chart of the name.
        InputError: matplotlib is not installed.
    """
    check_matplotlib()
    if name not in charts:
        raise SpecError(f"the {whose} has no figure {name!r}. {nearest(name, charts)}")
    return draw(charts[name], form)


def draw(chart: Chart, form: FigureFormat) -> bytes:
    """The chart as a file; the same chart gives the same bytes."""
    from matplotlib import rc_context  # noqa: PLC0415  # an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(_SETTINGS):
        match chart:
            case Dots():
                figure = Figure(figsize=(6.5, 1.2 + 0.42 * len(chart.rows)), layout="constrained")
                _draw_dots(figure, chart)
            case Curves():
                above = _LEGEND * (len(chart.lines) if len(chart.lines) > _INSIDE else 0)
                figure = Figure(figsize=(5, 3 + above), layout="constrained")
                _draw_curves(figure, chart)
            case _:
                assert_never(chart)
        return _saved(figure, form)


def draw_gallery(pictures: Sequence[Picture], form: FigureFormat) -> bytes:
    """A row an image: clean, perturbation (amplified), adversarial, and what the defense makes of it."""
    from matplotlib import rc_context  # noqa: PLC0415  # an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(_SETTINGS):
        columns = max(len(picture.panels) for picture in pictures)
        figure = Figure(figsize=(1.5 * columns, 1.85 * len(pictures)), layout="constrained")
        axes = figure.subplots(len(pictures), columns, squeeze=False)
        for picture, line in zip(pictures, axes, strict=True):
            for place, axis in enumerate(line):
                axis.set_axis_off()
                if place < len(picture.panels):
                    panel = picture.panels[place]
                    axis.imshow(panel.pixels, interpolation="nearest")
                    axis.set_title(f"{panel.title}\n{panel.caption}", fontsize=6.5)
            name = f"{picture.defense}\n{TITLES[picture.rung]}"
            line[0].text(
                -0.08,
                0.5,
                name,
                transform=line[0].transAxes,
                rotation=90,
                fontsize=6.5,
                ha="right",
                va="center",
            )
        return _saved(figure, form)


def _draw_dots(figure: "Figure", chart: Dots) -> None:
    axis = figure.subplots()
    seen: set[int] = set()
    for number, (_, points) in enumerate(chart.rows):
        for place, point in enumerate(points):
            kind = chart.kinds.index(point.kind)
            at = number + 0.13 * (place - (len(points) - 1) / 2)
            axis.errorbar(
                [point.value],
                [at],
                xerr=[[point.value - point.low], [point.high - point.value]],
                fmt=_MARKS[kind % 6],
                color=_COLOURS[kind % 6],
                markersize=4.5,
                linewidth=1,
                label=None if kind in seen else point.kind,
            )
            seen.add(kind)
    axis.set_yticks(range(len(chart.rows)), [name for name, _ in chart.rows])
    axis.set_ylim(len(chart.rows) - 0.5, -0.5)
    margin = 0.02 * (chart.limits[1] - chart.limits[0])
    axis.set_xlim(chart.limits[0] - margin, chart.limits[1] + margin)
    axis.set_xlabel(chart.axis + (f" ({chart.note})" if chart.note else ""))
    axis.grid(axis="x", color="0.88", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    handles, kinds = axis.get_legend_handles_labels()
    marks = dict(zip(kinds, handles, strict=True))
    ordered = sorted(marks, key=chart.kinds.index)  # of the ladder, and not of the row that has a kind first
    columns = min(6, len(seen))
    figure.legend(
        [marks[kind] for kind in ordered], ordered, loc="outside upper center", ncols=columns, frameon=False
    )


def _draw_curves(figure: "Figure", chart: Curves) -> None:
    axis = figure.subplots()
    for number, (name, line) in enumerate(chart.lines.items()):
        axis.plot(
            *zip(*line, strict=True),
            color=_COLOURS[number % 6],
            linestyle=_DASHES[number % 6],
            drawstyle="steps-post" if chart.stairs else "default",
            marker=None if chart.stairs or len(line) >= 20 else _MARKS[number % 6],
            markersize=3,
            label=name,
        )
    if chart.log:
        axis.set_xscale("log")
        places = [at for line in chart.lines.values() for at, _ in line]
        shown = log_ticks(min(places), max(places))
        axis.set_xticks(shown, [f"{tick:g}" for tick in shown])
        axis.minorticks_off()
    axis.set_xlabel(chart.x + (f" ({chart.note})" if chart.note else ""))
    axis.set_ylabel(chart.y)
    axis.grid(color="0.9", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    if len(chart.lines) > _INSIDE:  # it would lie on them
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=7)
    else:
        axis.legend(frameon=False, fontsize=7)


def _saved(figure: "Figure", form: FigureFormat) -> bytes:
    file = io.BytesIO()
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
    figure.savefig(file, format=form, dpi=200, metadata=dates[form])
    return file.getvalue()
