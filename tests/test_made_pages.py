"""What pages say that are made from the code, and that it is true of the files of real runs."""

import csv
import json
import re
from pathlib import Path

import pytest
from torch import Tensor

import advbench as ab
from advbench.results.records import RUNGS, SAMPLE_TYPES
from advbench.training.folder import metrics
from advbench.training.state import EpochRecord
from docs.made.columns import FILES, columns_of
from docs.made.commands import commands
from docs.made.docstrings import docstring_of, with_formulas
from docs.made.listing import Page, names_below, page_of, pages_below, with_all_pages
from docs.made.markdown import escaped, prose
from docs.made.marks import filled
from docs.made.names import names_as_markdown, names_for_autodoc
from docs.made.registries import attacks, datasets, defenses, models, substitutes


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ab.Run:
    """A run that has every kind of column: a ladder, a random defense, an attack that tells distances."""
    return ab.run(
        first=16,
        defenses=["round", "noise"],
        attacks=["fmn:steps=10"],
        ladder=True,
        gradient_free="square:queries=5",
        label_only="hard-label:queries=5",
        eot=2,
        judge_draws=3,
        out=tmp_path_factory.mktemp("runs") / "run",
    )


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> ab.Run:
    """A run with a detector, and a random defense that is judged by three submissions."""
    return ab.run(
        first=4,
        defenses=["noise"],
        attacks=["pgd:steps=2"],
        detector=_brightness,
        judge="any:3",
        judge_draws=3,
        out=tmp_path_factory.mktemp("refusing") / "run",
    )


def _brightness(x: Tensor) -> Tensor:
    return x.mean((1, 2, 3))


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return next(csv.reader(file))


def _told(file: str) -> set[str]:
    """The columns that the reference tells of a file, with every rung in the place of `<rung>`."""
    return {name.replace("<rung>", rung) for name in FILES[file] for rung in RUNGS}


@pytest.mark.slow
@pytest.mark.parametrize("file", ["table.csv", "indicators.csv", "substitutes.csv"])
def test_the_reference_tells_every_column_of_a_run(run: ab.Run, refusing: ab.Run, file: str) -> None:
    header = set(_header(run.path / file))
    if file == "table.csv":
        header |= set(_header(refusing.path / file))
    assert header <= _told(file)
    told = {name: {name.replace("<rung>", rung) for rung in RUNGS} for name in FILES[file]}
    missing = [name for name, columns in told.items() if not columns & header]
    assert missing == (["error", "<rung>_done"] if file == "table.csv" else [])


@pytest.mark.slow
def test_the_reference_tells_every_entry_of_run_json(run: ab.Run) -> None:
    entries = set(json.loads((run.path / "run.json").read_text()))
    assert entries | {"settings_file"} == set(FILES["run.json"]), "none was read here"


@pytest.mark.slow
def test_the_reference_tells_every_column_of_a_comparison(run: ab.Run, tmp_path: Path) -> None:
    other = ab.run(first=16, defenses=["round"], attacks=["fmn:steps=10"], out=tmp_path / "other")
    ab.report([other.path], baseline=run.path, out=tmp_path / "page")
    assert _header(tmp_path / "page/paired.csv") == list(FILES["paired.csv"])


def test_the_reference_tells_every_column_of_the_records() -> None:
    assert list(FILES["samples.parquet"]) == list(SAMPLE_TYPES)


def test_the_reference_tells_every_column_of_an_epoch() -> None:
    record = EpochRecord(epoch=1, lr=0.1, loss=1.0, accuracy=0.5, adver_loss=1.0, held_out=0.5, seconds=1.0)
    assert metrics([record]).splitlines()[0].split(",") == list(FILES["metrics.csv"])


@pytest.mark.parametrize("file", [*FILES, "indicators", "shown"])
def test_every_line_of_a_table_of_columns_says_something(file: str) -> None:
    for line in columns_of(file).splitlines():
        assert re.fullmatch(r"\| .+ \|", line)
        assert "|  |" not in line


def test_a_command_is_told_with_its_options_choices_and_defaults() -> None:
    told = commands()
    assert "## advbench attack" in told
    assert "| `--quiet`, `-q` | off |" in told
    assert "| `--fast`, `--no-fast` | on |" in told
    assert "| `--norm` `linf\\|l2\\|l1` | `linf` |" in told
    assert "| `--calibration` `N` | `64` |" in told
    assert "advbench verify [OPTIONS] RUN" in told
    assert "advbench list [OPTIONS] [WHAT]" in told
    assert "| `WHAT` `attacks\\|defenses\\|models\\|datasets`" in told


def test_a_defense_is_told_with_paper_parameters_and_substitutes() -> None:
    told = defenses().split("## `jpeg`")[1].split("\n## ")[0]
    assert "- **Paper**: Guo et al. 2018" in told
    assert "- **Substitutes**: `soft`, `cubic`, `identity`, `smooth`" in told
    assert "| `quality` | `75` |" in told


def test_every_parameter_of_a_defense_or_an_attack_has_a_meaning() -> None:
    for told in (defenses(), attacks()):
        assert not re.findall(r"^\| `\w+` \|.*\|  \|$", told, re.MULTILINE)


def test_tables_of_names_are_complete() -> None:
    assert "| `resnet20` |" in models()
    assert "`resnet18`" in models()
    assert "| `cifar10` |" in datasets()
    assert "| `round` | `identity`, `soft` |" in substitutes()


def test_a_public_name_is_told_with_its_signature_and_its_members() -> None:
    told = names_as_markdown("advbench")
    assert "### advbench.bpda\n" in told
    assert "advbench.Threat(" in told
    assert ".. autoclass:: advbench.Threat" in names_for_autodoc("advbench")
    assert ".. autofunction:: advbench.bpda" in names_for_autodoc("advbench")


def test_a_docstring_comes_apart() -> None:
    def example() -> None:
        """One line.

            a = b

        Args:
            x: a number, or
                `none`.
            y: another.

        Returns:
            The sum.
        """

    told = docstring_of(example)
    assert told.head == "One line.\n\n    a = b"
    assert told.sections["Args"] == {"x": "a number, or `none`.", "y": "another."}
    assert told.sections["Returns"] == {"": "The sum."}
    assert "- `x`: a number, or `none`." in told.as_markdown


def test_formulas_are_shown_as_they_are_written() -> None:
    lines = ["One line.", "", "    a = b", "", "    c = |d|", "", "Args:", "    x: a number."]
    assert with_formulas(lines) == [
        *("One line.", "", "::", "", "    a = b", "", "    c = |d|", ""),
        *("Args:", "    x: a number."),
    ]


def test_a_page_has_a_title_and_a_first_sentence() -> None:
    assert page_of("# A title\n\nSee [this](x.md), `a.b`. More.\n") == Page("A title", "See this, `a.b`.")
    assert page_of("# A title\n\nTwo options do it:\n\n- one\n") == Page("A title", "Two options do it.")
    assert page_of("# A title\n\n```text\nx.\n```\n") == Page("A title", "")


def test_a_page_that_is_added_is_listed_behind_those_that_the_contents_name(tmp_path: Path) -> None:
    contents = "```{toctree}\n:hidden:\n\nb\na\n*\n```\n"
    texts = {
        "index": f"# How to\n\n{contents}",
        "a": "# Ant\n\nOf ants.",
        "b": "# Bee\n\nOf bees.",
        "c": "# Cat",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.md").write_text(text)
    assert names_below(tmp_path) == ["index", "b", "a", "c"]
    assert with_all_pages(contents, tmp_path) == "```{toctree}\n:hidden:\n\nb\na\nc\n```\n"
    assert pages_below(tmp_path) == "- [Bee](b.md): Of bees.\n- [Ant](a.md): Of ants.\n- [Cat](c.md)\n"


def test_a_mark_that_nothing_fills_is_an_error(tmp_path: Path) -> None:
    assert filled("a\n<!-- made: datasets -->\nb", tmp_path, for_sphinx=True) == f"a\n{datasets()}\nb"
    with pytest.raises(KeyError, match="nonsense"):
        filled("<!-- made: nonsense -->", tmp_path, for_sphinx=True)


def test_texts_are_shown_as_they_are_written() -> None:
    assert escaped("2**bits levels\n in [0, 1] | a_b") == r"2\*\*bits levels in \[0, 1\] \| a\_b"
    assert prose("`ce` or `a|b`, in [0]") == r"`ce` or `a\|b`, in \[0\]"
