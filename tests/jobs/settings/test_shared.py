"""Options that several jobs have are one option, and columns are read as words."""

import pytest

from advbench.errors import SpecError
from advbench.jobs.settings import shared
from advbench.jobs.settings.export import ExportSettings
from advbench.jobs.settings.option import Option, settings_of
from advbench.jobs.settings.report import ReportSettings
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.shared import style_of_words
from advbench.jobs.settings.sweep import SweepSettings
from advbench.jobs.settings.train import TrainSettings
from advbench.jobs.settings.verify import VerifySettings
from advbench.reports.style import PLAIN, Style


def test_an_option_that_several_jobs_have_is_called_and_read_alike_in_all() -> None:
    """They may differ in their help, never in what they hold."""
    kinds: dict[str, set[str]] = {}
    for settings_class in (
        RunSettings,
        TrainSettings,
        SweepSettings,
        ExportSettings,
        ReportSettings,
        VerifySettings,
    ):
        for setting in settings_of(settings_class).values():
            if not setting.option.argument:
                kinds.setdefault(setting.word, set()).add(setting.kind)
    differing = {word: found for word, found in kinds.items() if len(found) > 1}
    assert differing == {"--batch-size": {"number", "text"}}, "which of a run may be auto"


def test_where_a_run_is_written_and_how_it_speaks_is_no_part_of_a_sweeps_file() -> None:
    told = {name: each for name, each in vars(shared).items() if isinstance(each, Option)}
    never = {"OVERWRITE", "JSON", "QUIET", "DEBUG", "COLUMNS", "SORT", "PERCENT", "DIGITS"}
    assert {name for name, each in told.items() if not each.in_files} == never
    where = {"DATA_ROOT", "DOWNLOAD", "DEVICE", "TRUST_PROGRAM"}
    assert {name for name, each in told.items() if not each.changes_numbers} == where


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (None, ()),
        ("", ()),
        (" , ,", ()),
        ("clean", ("clean",)),
        (" clean , bpda,gap ", ("clean", "bpda", "gap")),
    ],
)
def test_columns_are_words_between_commas(columns: str | None, expected: tuple[str, ...]) -> None:
    assert style_of_words(columns, "", percent=True, digits=None) == Style(columns=expected)


def test_a_style_is_what_the_options_say() -> None:
    assert style_of_words(None, "", percent=True, digits=None) == PLAIN
    found = style_of_words("clean", " -clean ", percent=False, digits=2, caption="A.", label="tab:a")
    assert found == Style(
        columns=("clean",), sort="-clean", percent=False, digits=2, caption="A.", label="tab:a"
    )
    assert style_of_words(None, "", percent=True, digits=None, label="").label == ""


@pytest.mark.parametrize(
    ("columns", "sort", "digits", "said"),
    [("clear", "", None, "no column 'clear'"), (None, "-clear", None, "clear"), (None, "", -1, "digits")],
)
def test_a_style_that_cannot_be_is_refused(
    columns: str | None, sort: str, digits: int | None, said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        style_of_words(columns, sort, percent=True, digits=digits)
