"""The section of a page that shows images, chosen by rung, class, defense and outcome."""

from collections.abc import Sequence
from html import escape
from typing import Final

from .document import section
from .grid import TITLES
from .pictures import Picture, data_uri

LARGEST: Final = 4_500_000
"""Bytes of all images together; what does not fit is left out, and the page says so."""


def gallery_section(pictures: Sequence[Picture], without: str = "") -> str:
    """The pictures; '' for none.

    Args:
        pictures: in the order in which they are shown, those of several runs with the run's name.
        without: why there are none, where some were asked for.
    """
    if without:
        return section("Gallery", f"<p>No gallery: {escape(without)}</p>")
    figures: list[str] = []
    room = LARGEST
    for picture in pictures:
        text = _picture(picture)
        room -= len(text)
        if room < 0:
            break
        figures.append(text)
    if not figures:
        return ""
    shown = pictures[: len(figures)]
    traits = {
        **({"run": [picture.run for picture in shown]} if any(picture.run for picture in shown) else {}),
        "rung": [TITLES[picture.rung] for picture in shown],
        "label": [picture.label for picture in shown],
        "defense": [picture.defense for picture in shown],
        "fooled": ["yes" if picture.fooled else "no" for picture in shown],
    }
    tools = "".join(_choice(name, values) for name, values in traits.items())
    left = len(pictures) - len(shown)
    remark = f"<p class=dim>{left} more would make this page too large.</p>" if left else ""
    return section(
        "Gallery",
        f'<div class="tools">{tools}<span id="shown" class="dim">{len(shown)} shown</span></div>'
        f'<div class="gallery">{"".join(figures)}</div>{remark}',
    )


def _choice(name: str, values: Sequence[str]) -> str:
    titles = {"label": "class", "fooled": "fools the model"}
    options = "".join(f"<option>{escape(value)}</option>" for value in sorted(set(values)))
    return (
        f'<label>{titles.get(name, name)}<select data-trait="{name}"><option value="">all</option>'
        f"{options}</select></label>"
    )


def _picture(picture: Picture) -> str:
    panels = "".join(
        f'<div><img src="{data_uri(panel.pixels)}" alt="{escape(panel.title)}" loading="lazy">'
        f"<span>{escape(panel.title)}<br>{escape(panel.caption)}</span></div>"
        for panel in picture.panels
    )
    outcome = "fools the model" if picture.fooled else "stands"
    rung = TITLES[picture.rung]
    traits = {"rung": rung, "label": picture.label, "defense": picture.defense}
    traits |= {"fooled": "yes" if picture.fooled else "no", **({"run": picture.run} if picture.run else {})}
    words = [picture.run] * bool(picture.run)
    words += [f"image {picture.index}", picture.defense, rung, picture.attack, outcome]
    marks = " ".join(f'data-{name}="{escape(text)}"' for name, text in traits.items())
    return (
        f"<figure {marks}><figcaption>{escape(' · '.join(words))}</figcaption>"
        f'<div class="panels">{panels}</div></figure>\n'
    )
