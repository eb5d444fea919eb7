"""Charts and galleries by matplotlib, where it is there: the same bytes every time."""

from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from advbench.errors import InputError
from advbench.reports import figures
from advbench.reports.figures import FIGURE_FORMATS, FigureFormat, draw, draw_gallery
from advbench.reports.pictures import Panel, Picture
from tests.reports.drawn import charts, whole_ladder
from tests.reports.records import HOSTILE


def pictures() -> list[Picture]:
    pixels = np.zeros((8, 8, 3), np.uint8)
    panels = [Panel(pixels, "clean", HOSTILE), Panel(pixels, "adversarial", "$a$ 3")]
    common = {"label": "3", "defense": "round", "attack": "pgd", "fooled": True}
    return [
        Picture(index=0, rung="bpda", panels=panels, **common),  # type: ignore[arg-type]  # a table of settings
        Picture(index=1, rung="shattered", panels=panels[:1], **common),  # type: ignore[arg-type]
    ]


DRAWINGS: dict[str, Callable[[FigureFormat], bytes]] = {
    "ladder": lambda form: draw(whole_ladder(), form),
    "curves": lambda form: draw(charts()[2], form),
    "stairs": lambda form: draw(charts()[4], form),
    "gallery": lambda form: draw_gallery(pictures(), form),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FIGURE_FORMATS)
@pytest.mark.parametrize("name", DRAWINGS)
def test_matplotlib_draws_each_figure_to_the_same_bytes(name: str, form: FigureFormat) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'advbench[figures]'")
    drawn = DRAWINGS[name](form)
    assert drawn.startswith({"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}[form])
    assert DRAWINGS[name](form) == drawn
    if form == "svg" and name == "ladder":
        assert HOSTILE in " ".join(ET.fromstring(drawn).itertext())


def test_the_legend_has_the_order_of_the_ladder_whatever_the_first_row_lacks() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'advbench[figures]'")
    chart = whole_ladder()
    shuffled = replace(chart, rows=[(name, points[::-1]) for name, points in reversed(chart.rows)])
    texts = [text for text in ET.fromstring(draw(shuffled, "svg")).itertext() if text in chart.kinds]
    assert texts == list(chart.kinds)


def test_without_matplotlib_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'advbench\[figures\]'"):
        figures.check_matplotlib()
