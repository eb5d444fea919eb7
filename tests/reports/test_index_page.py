"""The index over many runs: text is text, nothing is fetched, and it works in a real browser."""

import base64
import hashlib
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advbench.reports.index_page import Index, IndexedRun, index_page
from advbench.reports.style import Style
from advbench.results.records import Rate
from tests.reports.records import NAMED, NONE, ROUND
from tests.reports.test_page import BROWSER, EVIL, Elements, picture

MASKED = replace(ROUND, verdict="masked: BPDA fells more", rates={**ROUND.rates, "worst": Rate(0, 200)})
OTHER = replace(MASKED, attack="pgd:steps=80", verdict="not robust: 0", rates={"clean": Rate(180, 200)})
FAILED = replace(NONE, defense="jpeg", rates={}, n=0, error="out of memory")


def index(**changes: Any) -> Index:
    content = Index(
        title=EVIL,
        runs=[
            IndexedRun(
                name="first", rows=[NONE, MASKED], started="2026-01-02T03:04:05+00:00", images="a" * 8
            ),
            IndexedRun(name=EVIL, rows=[replace(NAMED, model=EVIL, attack=EVIL, verdict=EVIL)], images="b"),
            IndexedRun(name="second", rows=[replace(NONE, attack="pgd:steps=80"), OTHER], images="a" * 8),
            IndexedRun(name="empty", rows=[]),
            IndexedRun(name="sweep", rows=[FAILED], images="c"),
            IndexedRun(name="unknown", rows=[FAILED]),
        ],
        closed=[(EVIL, EVIL)],
        notes=[EVIL],
        pictures=[replace(picture(number), run=EVIL if number else "first") for number in range(4)],
    )
    return replace(content, **changes)


def test_hostile_names_are_text_and_nothing_is_fetched() -> None:
    text = index_page(index())
    read = Elements(text)
    tags = [tag for tag, _ in read.found]
    assert tags.count("script") == tags.count("style") == 1
    assert read.text.count(EVIL) >= 8
    assert not [name for _, attributes in read.found for name in attributes if name.startswith("on")]
    sources = [attributes["src"] for tag, attributes in read.found if tag == "img"]
    assert sources
    assert all(source and source.startswith("data:image/") for source in sources)
    assert not [tag for tag, attributes in read.found if tag in ("link", "iframe") or "href" in attributes]
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#x27;sha256-{digest}&#x27;;" in text


def test_a_screen_reader_finds_heads_labels_and_regions() -> None:
    read = Elements(index_page(index()))
    heads = [attributes.get("scope") for tag, attributes in read.found if tag == "th"]
    assert heads
    assert set(heads) == {"col", "row"}
    regions = [attributes for _, attributes in read.found if attributes.get("role") == "region"]
    assert {region["aria-label"] for region in regions} >= {
        "Runs",
        "Two runs side by side",
        "Could not be read",
    }
    assert all(region["tabindex"] == "0" for region in regions)
    text = index_page(index())
    for name in ("Filter rows", "verdict", "run A", "run B"):
        assert re.search(rf"<label>{name}<(input|select)", text)


def test_rows_have_their_verdict_and_missing_numbers_their_reason() -> None:
    text = index_page(index())
    assert 'class="mood masked">masked<' in text
    assert 'class="mood fallen">not robust<' in text
    assert '<td class="number" data-rung="clean" data-value="" title="out of memory">–</td>' in text
    assert ">2026-01-02<small>03:04:05</small>" in text
    options = re.search(r'<select data-row="verdict">(.*?)</select>', text)
    assert options
    assert options[1].index("masked") < options[1].index("not robust") < options[1].index("failed")
    assert 'value="3">empty' not in text  # a run without rows cannot be compared


def test_fractions_are_written_where_they_are_asked_for() -> None:
    text = index_page(index(style=Style(percent=False)))
    assert 'data-scale="1" data-digits="3"' in text
    assert 'data-scale="100" data-digits="1"' in index_page(index())


def test_an_index_of_what_could_not_be_read_is_a_page_too() -> None:
    text = index_page(index(runs=[], pictures=[]))
    assert "No run here could be read." in text
    assert "comparing" not in Elements(text).text


PROBE = """
const found = {};
const set = (id, name) => {
  const choice = document.getElementById(id);
  choice.value = [...choice.options].find((option) => option.text === name).value;
  choice.dispatchEvent(new Event("change"));
};
const table = () => [...document.querySelectorAll("#compared tr")].map(
  (row) => [...row.cells].map((cell) => cell.textContent));
set("one", "first"); set("other", "second");
found.compared = table();
found.pairing = document.getElementById("pairing").textContent;
set("other", "sweep");
found.apart = document.getElementById("pairing").textContent;
set("other", "unknown");
found.unknown = document.getElementById("pairing").textContent;
const verdict = document.querySelector("select[data-row=verdict]");
verdict.value = "masked"; verdict.dispatchEvent(new Event("change"));
found.shown = document.querySelectorAll("table.sortable tbody tr:not([hidden])").length;
found.said = document.getElementById("said").textContent;
const heads = [...document.querySelectorAll("table.sortable thead button")];
const button = heads.find((head) => head.textContent === "clean");
button.click();
found.sort = button.closest("th").getAttribute("aria-sort");
found.order = [...document.querySelectorAll("td[data-rung=clean]")].map((cell) => cell.dataset.value);
found.hidden = document.getElementById("comparing").hidden;
found.alerts = window.alerts ?? 0;
found.width = document.documentElement.scrollWidth;
found.room = window.innerWidth;
document.title = JSON.stringify(found);
"""


@pytest.mark.slow
def test_in_a_browser_it_compares_filters_and_sorts(tmp_path: Path) -> None:
    if BROWSER is None:
        pytest.skip("no Chromium is installed: apt install chromium-headless-shell")
    path = tmp_path / "index.html"
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    text = index_page(index()).replace("script-src &#x27;", f"script-src &#x27;sha256-{digest}&#x27; &#x27;")
    path.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000"]
    done = subprocess.run(
        [BROWSER, *options, "--window-size=375,800", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, done.stderr
    found = json.loads(title[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    head, none, masked = found["compared"]
    assert head[0] == "row"
    assert none[:2] == ["none", "99.0 → 99.0 (±0.0)"]
    assert masked[:2] == ["round", "98.5 → 90.0 (−8.5)"]
    assert masked[-1] == "masked → not robust"
    assert found["pairing"].startswith("attack: pgd:steps=40 → pgd:steps=80; Both runs have the same images")
    assert "other images each" in found["apart"]
    assert "Whether the runs have the same images is not known." in found["unknown"]
    assert found["shown"] == 1
    assert found["said"] == "1 rows"
    assert found["sort"] == "ascending"
    numbers = [float(text) for text in found["order"] if text]
    assert numbers == sorted(numbers)
    assert not found["hidden"]
    assert found["alerts"] == 0
    assert found["width"] <= found["room"]
