"""LaTeX: what is bold, what is escaped, and that it compiles."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from advbench.reports import render
from advbench.reports.latex import latex_escaped
from advbench.reports.style import Style
from advbench.results.records import Row
from tests.reports.records import NAMED, NONE, ORIGIN, ROUND, ROWS

SPECIAL = "\\{}$&#%^_~<>|\"`'--- é ± ε 中 \u202e\x1b\x00" + "".join(map(chr, range(33, 127)))


def cells(text: str, defense: str) -> list[str]:
    line = next(each for each in text.splitlines() if each.strip().startswith(f"{defense} &"))
    return [each.strip() for each in line.removesuffix(r" \\").split("&")]


def test_the_highest_of_a_column_is_bold_and_the_lowest_bold_italic() -> None:
    text = render(ROWS, "latex", None, Style(columns=("defense", "clean", "bpda")))
    assert cells(text, "none")[1] == r"\textbf{99.0}"
    assert cells(text, "round") == [
        *("round", "98.5", r"$_{[95.7,\,99.5]}$"),
        *(r"\textbf{\textit{0.0}}", r"$_{[0.0,\,1.9]}$"),
    ]
    assert cells(text, "resize-pad")[1] == r"\textbf{\textit{95.0}}"
    assert r"\textbf{15.0}" in text


def test_nothing_is_bold_where_nothing_can_be_compared() -> None:
    assert r"\textbf" not in render([ROUND], "latex")
    assert r"\textbf" not in render([ROUND, replace(ROUND, eps="16/255", rates=NONE.rates)], "latex")


def test_a_missing_cell_is_a_dash() -> None:
    dash = r"\textendash{}"
    wide = rf"\multicolumn{{2}}{{c}}{{{dash}}}"
    assert cells(render(ROWS, "latex"), "none")[-2:] == [wide, wide]
    unpaired = [replace(row, pairs={}) for row in ROWS]
    assert cells(render(unpaired, "latex"), "none")[-2:] == [wide, dash]


def test_caption_and_label_are_those_that_are_asked_for() -> None:
    text = render(ROWS, "latex", None, Style(caption="50 % of it", label="tab:a_b}"))
    assert r"\caption{50 \% of it}" in text
    assert r"\label{tab:a_b}" in text


def test_an_origin_stays_in_its_comment() -> None:
    text = render(ROWS, "latex", {"command": "a\n\\input{x}\r\\input{y}"})
    assert text.startswith("% command: a \\input{x} \\input{y}\n")


def test_what_latex_may_not_know_is_spelt_out() -> None:
    assert latex_escaped("é 中\x1b ł a\nb") == "é U+4E2D U+0142 a b"
    assert latex_escaped("a-b --c ---") == "a-b -{}-c -{}-{}-"


def test_a_row_that_begins_with_a_bracket_is_no_length() -> None:
    """LaTeX reads `[...]` after a line break as the height to skip."""
    assert latex_escaped("[mine] a [b]") == "{[}mine] a [b]"
    text = render(
        [ROUND, replace(ROUND, defense="[mine]")], "latex", None, Style(columns=("defense", "bpda"))
    )
    assert not re.search(r"\\\\\s*\[", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "said"),
    [(NAMED, "<script>alert(1)</script> & 100%"), (replace(NAMED, warnings=(SPECIAL,)), "ABCDEFGHIJ")],
    ids=["a name", "every character"],
)
def test_it_compiles_with_booktabs_alone_and_prints_the_names(row: Row, said: str, tmp_path: Path) -> None:
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("pdflatex is not installed: apt install texlive-latex-base texlive-latex-recommended")
    table = render([*ROWS[:3], row], "latex", ORIGIN, Style(columns=("defense", "bpda", "gap")))
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "page.tex").write_text(f"{head}{table}\\end{{document}}\n", encoding="utf-8")
    done = subprocess.run(
        [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=300,
    )
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log
    assert not re.search(r"^! |Undefined|undefined", log, re.MULTILINE), log
    pdftotext = shutil.which("pdftotext")
    if pdftotext is not None:
        subprocess.run([pdftotext, "-layout", "page.pdf"], cwd=tmp_path, check=True)
        printed = (tmp_path / "page.txt").read_text(encoding="utf-8")
        assert said in printed
