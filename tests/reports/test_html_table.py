"""The table as HTML by itself: every cell of the words, and names that stay text."""

from dataclasses import replace
from xml.etree import ElementTree as ET

from advbench.reports.grid import grid
from advbench.reports.html_table import html_table
from advbench.reports.style import Style
from tests.reports.records import HOSTILE, ROUND, ROWS


def parsed(text: str) -> ET.Element:
    return ET.fromstring(f"<all>{text.replace('<br>', '<br/>')}</all>")


def test_the_cells_are_those_of_the_words() -> None:
    words, root = grid(ROWS), parsed(html_table(ROWS))
    assert [each.text for each in root.iter("th")] == words.header
    assert [[cell.text for cell in line.iter("td")] for line in root.findall(".//tbody/tr")] == words.lines
    assert [each.text for each in root.iter("caption")] == [words.caption]
    (notes,) = root.findall("p")
    assert list(notes.itertext()) == words.notes


def test_names_stand_left_and_numbers_right() -> None:
    words, root = grid([ROUND]), parsed(html_table([ROUND]))
    sides = [each.attrib["style"].removeprefix("text-align: ") for each in root.iter("td")]
    assert sides == ["left"] * words.labels + ["right"] * (len(words.header) - words.labels)


def test_a_hostile_name_is_text_wherever_it_stands() -> None:
    row = replace(ROUND, model=HOSTILE, defense=HOSTILE, substitute=HOSTILE, warnings=(HOSTILE,))
    text = html_table([row])
    assert "<script" not in text
    assert "".join(parsed(text).itertext()).count(HOSTILE) >= 4


def test_it_looks_as_the_style_says() -> None:
    style = Style(columns=("defense", "clean"), percent=False, digits=2)
    root = parsed(html_table(ROWS, style))
    assert [each.text for each in root.iter("th")] == ["defense", "clean"]
    assert "0.98" in str(root.findall(".//td")[3].text)
