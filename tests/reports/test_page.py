"""The page: nothing in it but text and its own script, small, and usable in a real browser."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advbench.reports.baseline import Comparison
from advbench.reports.charts import agreement, ladder, training_curves
from advbench.reports.page import Page, page
from advbench.reports.pictures import LARGEST, Panel, Picture, data_uri
from advbench.results.records import Candidate, Rate
from tests.reports.records import HOSTILE, NAMED, NONE, ORIGIN, RANDOM, ROUND, ROWS

EVIL = f"{HOSTILE}\"'</style></title></script><img src=x onerror=alert(1)>"
JUDGED = replace(
    ROUND,
    verdict=f"masked: {EVIL}",
    advice=(EVIL,),
    rates={**ROUND.rates, "worst": Rate(0, 200)},
)
BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium") or shutil.which("google-chrome")


def picture(number: int, side: int = 32) -> Picture:
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
    return Picture(
        index=number,
        label=EVIL if number == 0 else str(number % 10),
        defense="round",
        attack="pgd",
        rung="bpda" if number % 2 else "shattered",
        fooled=number % 3 == 0,
        panels=[Panel(pixels, title, EVIL) for title in ("clean", "perturbation", "adversarial", "behind")],
    )


def whole(pictures: int = 12, **changes: Any) -> Page:
    rows = [NONE, JUDGED, RANDOM, NAMED, replace(NAMED, defense=EVIL, attack=EVIL, warnings=(EVIL,))]
    found = [Candidate(defense=EVIL, substitute="soft", n=64, standing=3, agreement=0.5, rank=1)]
    charts = [ladder(rows), agreement(found), *training_curves({EVIL: [{"epoch": 1.0, "loss": 2.0}]})]
    content = Page(
        title=EVIL,
        rows=rows,
        origin=ORIGIN,
        charts=[each for each in charts if each is not None],
        pictures=[picture(number) for number in range(pictures)],
        comparisons=[Comparison(row=NAMED, reason=EVIL)],
        settings={EVIL: {EVIL: EVIL}},
    )
    return replace(content, **changes)


class Elements(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_hostile_names_are_text_wherever_they_stand() -> None:
    read = Elements(page(whole()))
    tags = [tag for tag, _ in read.found]
    assert tags.count("script") == tags.count("style") == 1
    assert EVIL in read.text
    attributes = [name for _, each in read.found for name in each]
    assert not [name for name in attributes if name.startswith("on")]
    sources = [each["src"] for tag, each in read.found if tag == "img"]
    assert sources
    assert all(source and source.startswith("data:image/") for source in sources)


def test_nothing_is_fetched_and_no_script_but_the_pages_own_may_run() -> None:
    text = page(whole())
    read = Elements(text)
    (policy,) = [each["content"] for tag, each in read.found if "http-equiv" in each]
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy
    assert not [each for tag, each in read.found if tag in ("link", "iframe", "object") or "href" in each]


def test_the_same_content_gives_the_same_bytes() -> None:
    assert page(whole()) == page(whole())


def test_verdicts_stand_on_top_and_only_where_rows_have_one() -> None:
    text = page(whole())
    assert text.index("<h2>Verdict</h2>") < text.index("<h2>Table</h2>")
    assert 'class="masked"' in text
    assert "0 of 200 images survive every rung" in text
    assert "<h2>Verdict</h2>" not in page(Page(title="x", rows=ROWS))


@pytest.mark.parametrize(
    ("verdict", "standing", "mood"),
    [
        ("robust as measured: 120 of 200", 120, "robust"),
        ("not robust: 0 of 200", 0, "fallen"),
        ("not robust: 9 of 200", 9, "fallen"),
        ("masked: why", 0, "masked"),
        ("unreliable: why", 120, "unreliable"),
        ("not enough evidence: why", 0, "unsure"),
        ("not judged yet", 120, "unsure"),
    ],
)
def test_a_verdict_has_its_colour_and_what_falls_is_neither_praised_nor_an_alarm(
    verdict: str, standing: int, mood: str
) -> None:
    row = replace(ROUND, verdict=verdict, rates={**ROUND.rates, "worst": Rate(standing, 200)})
    read = Elements(page(Page(title="x", rows=[row])))
    assert [each["class"] for tag, each in read.found if tag == "li" and "class" in each] == [mood]


def test_cells_are_sorted_by_their_full_value_and_missing_ones_say_why() -> None:
    text = page(Page(title="x", rows=ROWS))
    assert f'data-value="{198 / 200!r}"' in text
    assert 'data-value="" title="no defense to substitute">–</td>' in text


def test_papers_are_those_of_the_attacks_and_defenses() -> None:
    text = Elements(page(whole())).text
    for key in ("madry2018", "athalye2018", "wilson1927", "mcnemar1947", "tango1998", "xie2018"):
        assert f"{{{key}," in text
    assert "mcnemar1947" not in page(Page(title="x", rows=[NONE]))


def test_a_missing_gallery_says_why() -> None:
    assert "No gallery: the &lt;b&gt; is gone" in page(whole(pictures=0, without="the <b> is gone"))


@pytest.mark.parametrize("side", [32, 224])
def test_a_gallery_of_200_images_stays_under_5_megabytes(side: int) -> None:
    """Noise, which compresses worst."""
    text = page(replace(whole(0), pictures=pictures_of(side)))
    assert len(text.encode()) < 5_000_000
    left = re.search(r"(\d+) more would make this page too large", text)
    shown = text.count("<figure data-rung")
    assert shown + int(left[1] if left else 0) == 200


def pictures_of(side: int) -> list[Picture]:
    few = [picture(number, side) for number in range(10)]
    return [replace(few[number % 10], index=number) for number in range(200)]


def test_large_images_become_thumbnails_and_small_ones_stay_as_they_are() -> None:
    assert data_uri(picture(0, 224).panels[0].pixels).startswith("data:image/webp")
    small = base64.b64decode(data_uri(picture(0, 8).panels[0].pixels).partition(",")[2])
    assert small.startswith(b"\x89PNG")
    assert LARGEST == 96


PROBE = """
const all = (selector) => [...document.querySelectorAll(selector)];
const rows = () => all("table.sortable tbody tr");
const first = () => rows().map((row) => row.cells[row.cells.length - 2].dataset.value);
const heads = all("table.sortable thead button");
const found = { width: document.documentElement.scrollWidth, room: innerWidth, before: first() };
found.back = getComputedStyle(document.body).backgroundColor;
found.focusable = heads.concat(all(".tools button, select, input")).every((each) => {
  each.focus(); return document.activeElement === each;
});
heads.at(-2).click(); found.up = first();
heads.at(-2).click(); found.down = first();
found.said = document.getElementById("said").textContent;
found.sorted = heads.at(-2).closest("th").getAttribute("aria-sort");
const filter = document.getElementById("filter");
filter.value = "ROUND"; filter.dispatchEvent(new Event("input"));
found.filtered = all("table.sortable tbody tr").filter((row) => !row.hidden).length;
const rung = document.querySelector("select[data-trait=rung]");
rung.value = "BPDA"; rung.dispatchEvent(new Event("change"));
found.figures = all(".gallery figure").filter((each) => !each.hidden).length;
found.scripts = all("script").length;
found.broken = all("img").filter((each) => each.complete && !each.naturalWidth).length;
found.alerts = window.alerts ?? 0;
const copy = document.querySelector("button[data-copy=latex]");
copy.click();
setTimeout(() => {
  found.copied = document.getElementById("said").textContent;
  document.title = JSON.stringify(found);
}, 200);
"""


def probed(path: Path, *words: str) -> dict[str, Any]:
    """What the probe finds in a browser; the page's policy is told of the probe, and of nothing else."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed: apt install chromium-headless-shell")
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    text = page(whole()).replace("script-src &#x27;", f"script-src &#x27;sha256-{digest}&#x27; &#x27;")
    path.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", *words]
    done = subprocess.run(
        [BROWSER, *options, "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, done.stderr
    unescaped = title[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    found: dict[str, Any] = json.loads(unescaped)
    return found


@pytest.mark.slow
def test_in_a_browser_it_sorts_filters_and_copies_without_a_mouse(tmp_path: Path) -> None:
    found = probed(tmp_path / "page.html", "--window-size=1200,900")
    numbers = [float(each) for each in found["up"] if each]
    assert numbers == sorted(numbers)
    assert not any(found["up"][len(numbers) :])
    assert [float(each) for each in found["down"] if each] == sorted(numbers, reverse=True)
    assert found["sorted"] == "descending"
    assert found["filtered"] == 1
    assert found["figures"] == 6
    assert found["focusable"]
    assert found["broken"] == found["alerts"] == 0
    assert found["scripts"] == 2
    assert found["copied"] == "LaTeX copied"


@pytest.mark.slow
def test_in_a_browser_it_is_dark_where_the_reader_wants_it(tmp_path: Path) -> None:
    light = probed(tmp_path / "page.html")
    dark = probed(tmp_path / "page.html", "--blink-settings=preferredColorScheme=0")
    assert (light["back"], dark["back"]) == ("rgb(255, 255, 255)", "rgb(13, 17, 23)")


@pytest.mark.slow
def test_in_a_browser_as_narrow_as_a_phone_nothing_sticks_out(tmp_path: Path) -> None:
    found = probed(tmp_path / "page.html", "--window-size=375,800")
    assert found["width"] <= found["room"] <= 500
