"""Records in, tables out: golden text, missing cells with their reason, and names that cannot break out."""

import csv
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from advbench.reports import print_table, render, table_frame
from advbench.reports.formats import Format
from advbench.reports.grid import MISSING
from advbench.reports.page import Page, page
from advbench.results.records import Rate, Row
from tests.reports.records import NONE_TEN as NONE
from tests.reports.records import PAIRED_TEN as PAIRED
from tests.reports.records import ROUND_TEN as ROUND

HOSTILE = "<script>alert(1)</script> & 100%_|"

CSV = """\
model,dataset,n,defense,norm,eps,attack,clean_accuracy,clean_low,clean_high,clean_count,\
shattered_accuracy,shattered_low,shattered_high,shattered_count,\
bpda_accuracy,bpda_low,bpda_high,bpda_count,masking_gap,substitute,verdict
net,digits,10,none,linf,8/255,pgd,1.0,0.722467200137,1.0,10,0.0,0.0,0.277532799863,0,,,,,,,
net,digits,10,round,linf,8/255,pgd,0.9,0.595849973205,0.982123786905,9,\
0.8,0.490162471537,0.943317848546,8,0.1,0.017876213095,0.404150026795,1,0.7,identity,
"""

MARKDOWN = """\
model: net; dataset: digits, n = 10; threat: linf, eps = 8/255; attack: pgd

| defense | substitute | clean | shattered | BPDA | gap |
| :-- | :-- | --: | --: | --: | --: |
| none | – | 100.0 [72.2, 100.0] 10/10 | 0.0 [0.0, 27.8] 0/10 | – | – |
| round | identity | 90.0 [59.6, 98.2] 9/10 | 80.0 [49.0, 94.3] 8/10 | 10.0 [1.8, 40.4] 1/10 | 70.0 |

Accuracy in per cent of all images, [95 % Wilson interval], images left standing.\x20\x20
gap: shattered minus BPDA accuracy, in points: robustness that was only a hidden gradient.\x20\x20
– (BPDA, none): no defense to substitute.\x20\x20
"""


def on_terminal(*rows: Row) -> str:
    file = io.StringIO()
    print_table(rows, Console(file=file, width=80))
    return file.getvalue()


def rounded(text: str) -> str:
    """CSV with its fractions to twelve decimals, beyond which platforms may differ."""
    cells = [[short(cell) for cell in line] for line in csv.reader(io.StringIO(text))]
    return "".join(",".join(line) + "\n" for line in cells)


def short(cell: str) -> str:
    return str(round(float(cell), 12)) if "." in cell else cell


def test_csv_holds_fractions_under_the_names_of_the_design() -> None:
    assert rounded(render([NONE, ROUND], "csv")) == CSV


def test_medians_of_smallest_perturbations_have_a_column_and_a_line_where_there_are_any() -> None:
    found = replace(ROUND, rates={**ROUND.rates, "bpda": Rate(1, 10, median=0.0375)})
    rows = list(csv.DictReader(io.StringIO(render([NONE, found], "csv"))))
    assert [row["bpda_median_distance"] for row in rows] == ["", "0.0375"]
    assert "shattered_median_distance" not in rows[0]
    assert "| 10.0 [1.8, 40.4] 1/10 median 0.0375 |" in render([NONE, found], "markdown")
    assert "median 0.0375" in on_terminal(NONE, found)
    assert "median" not in render([NONE, ROUND], "markdown")


def test_markdown_holds_per_cent_intervals_counts_and_notes() -> None:
    assert render([NONE, ROUND], "markdown") == MARKDOWN


def test_json_holds_the_same_numbers_as_the_records() -> None:
    none, rounding = json.loads(render([NONE, ROUND], "json"))
    assert none["bpda_accuracy"] is None
    assert none["bpda_count"] is None
    assert none["masking_gap"] is None
    assert rounding["eps"] == "8/255"
    assert list(none) == CSV.partition("\n")[0].split(",")
    assert isinstance(rounding["bpda_count"], int)


def test_json_holds_fractions_in_full_precision() -> None:
    cells = json.loads(render([ROUND], "json"))[0]
    assert (cells["clean_low"], cells["clean_high"]) == Rate(9, 10).interval


def test_json_is_written_row_by_row_as_it_would_be_whole() -> None:
    rows = [NONE, replace(ROUND, defense="lines\n of \u2028 all\x85kinds\r")]
    text = render(rows, "json")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
    assert json.loads(text)[1]["defense"] == rows[1].defense
    assert render([], "json") == "[]\n"


@pytest.mark.parametrize("form", ["csv", "markdown", "json"])
def test_the_same_rows_give_the_same_bytes(form: Format) -> None:
    again = [replace(NONE, rates=dict(NONE.rates)), replace(ROUND, rates=dict(sorted(ROUND.rates.items())))]
    assert render(again, form).encode() == render([NONE, ROUND], form).encode()


def test_a_row_without_numbers_tells_why_once_for_each_reason() -> None:
    failed = [
        replace(ROUND, attack=attack, rates={}, error="no | memory.", n=0) for attack in ("pgd", "fgsm")
    ]
    for text in (" ".join(on_terminal(NONE, *failed).split()), render([NONE, *failed], "markdown")):
        assert "dataset: digits, n = 10" in text
        assert text.count("memory.") == 1
        assert "– (pgd, round; fgsm, round): no " in text
    first, *others = csv.DictReader(io.StringIO(render([NONE, *failed], "csv")))
    assert [each["error"] for each in (first, *others)] == ["", "no | memory.", "no | memory."]
    assert [each["clean_accuracy"] for each in others] == ["", ""]
    assert "error" not in render([NONE, ROUND], "csv")
    assert render(failed, "markdown").count("| fgsm | round |") == 1


def test_each_row_may_come_from_elsewhere() -> None:
    origins = [{"seed": "0", "run": "a"}, {"seed": "0"}]
    rows = list(csv.DictReader(io.StringIO(render([NONE, ROUND], "csv", origins))))
    assert [(row["seed"], row["run"]) for row in rows] == [("0", "a"), ("0", "")]
    assert [row["run"] for row in json.loads(render([NONE, ROUND], "json", origins))] == ["a", ""]
    assert "\n<!--\nseed: 0\nrun: a\n-->\n" in render([NONE, ROUND], "markdown", origins)


def test_a_missing_cell_is_a_dash_with_its_reason_and_never_zero() -> None:
    frame = table_frame([NONE, ROUND])
    assert frame.loc[0, ["bpda_accuracy", "bpda_low", "bpda_high", "bpda_count", "masking_gap"]].isna().all()
    for text in (render([NONE, ROUND], "markdown"), on_terminal(NONE, ROUND)):
        line = next(each for each in text.splitlines() if each.lstrip("| ").startswith("none"))
        assert line.count(MISSING) == 3, "its substitute, its BPDA accuracy, its gap"
        assert f"{MISSING} (BPDA, none): no defense to substitute." in text


def test_the_gap_has_its_interval_where_there_is_room_for_everything() -> None:
    low, high = (f"{100 * each:.1f}" for each in PAIRED.pairs["bpda"].interval)
    assert f"| 70.0 [{low}, {high}] |" in render([NONE, PAIRED], "markdown")
    assert rf"$70.0$ & $_{{[{low},\,{high}]}}$ \\" in render([NONE, PAIRED], "latex")
    assert f"70.0<small>[{low}, {high}]</small></td>" in page(Page(title="x", rows=[NONE, PAIRED]))
    forms: list[Format] = ["markdown", "latex"]
    for form in forms:
        assert "score interval of the difference" not in render([NONE, ROUND], form)


def test_a_hostile_name_is_text_in_every_format() -> None:
    row = replace(ROUND, defense=HOSTILE)
    markdown = render([row], "markdown")
    assert "<script>" not in markdown
    assert r"&lt;script&gt;alert(1)&lt;/script&gt;" in markdown
    assert r"100%\_\|" in markdown
    line = next(each for each in markdown.splitlines() if "alert" in each)
    assert line.replace(r"\|", "").count("|") == markdown.splitlines()[2].count("|")
    wide = io.StringIO()
    print_table([row], Console(file=wide, width=200))
    assert HOSTILE in wide.getvalue()
    assert next(csv.DictReader(io.StringIO(render([row], "csv"))))["defense"] == HOSTILE
    assert json.loads(render([row], "json"))[0]["defense"] == HOSTILE


@pytest.mark.parametrize("name", ["a|b", "a\nb", "a\r\nb", "a\\|b"])
def test_a_name_cannot_end_its_cell_or_its_line_in_markdown(name: str) -> None:
    lines = render([replace(ROUND, defense=name)], "markdown").splitlines()
    cells = lines[4].replace("\\\\", "").replace("\\|", "")
    assert cells.count("|") == lines[2].count("|")
    assert lines[5] == ""
