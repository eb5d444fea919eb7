"""The registry of formats: what is written where, and what is refused before a file is written."""

from pathlib import Path

import pytest

from advbench.errors import InputError
from advbench.reports.exports import EXPORTS, Exported, single_text, write_exports
from advbench.reports.hub import HubNames
from advbench.reports.trackers import TRACKERS
from tests.reports.outcomes import outcomes

EXPORTED = Exported(outcomes=outcomes(), hub=HubNames(dataset="me/digits"))


def test_every_format_is_made_by_us_or_by_a_tracker() -> None:
    assert {name for name, export in EXPORTS.items() if export.files is None} == set(TRACKERS)


def test_several_formats_go_into_one_folder(tmp_path: Path) -> None:
    names = write_exports(tmp_path / "out", ["sarif", "junit", "hf"], EXPORTED, overwrite=False)
    assert names[:3] == ["advbench.sarif", "junit.xml", ".eval_results/digits-01.yaml"]
    assert all((tmp_path / "out" / name).is_file() for name in names)


def test_files_that_are_there_stay_unless_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text("somebody's")
    with pytest.raises(InputError, match=r"junit\.xml is there\. Give another --out, or --overwrite"):
        write_exports(tmp_path, ["sarif", "junit"], EXPORTED, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["junit.xml"]
    write_exports(tmp_path, ["junit"], EXPORTED, overwrite=True)
    assert (tmp_path / "junit.xml").read_text().startswith("<?xml")


def test_one_file_is_a_text_and_several_need_a_folder() -> None:
    assert single_text("junit", EXPORTED).startswith("<?xml")
    for form in ("hf", "wandb"):
        with pytest.raises(InputError, match=f"{form} needs a folder for its files: --out DIR"):
            single_text(form, EXPORTED)


def test_a_submission_names_its_model_and_its_row() -> None:
    with pytest.raises(InputError, match="--model-name"):
        single_text("robustbench", EXPORTED)
    named = Exported(outcomes=outcomes("round", "trained"), hub=HubNames(model="Rice2020Overfitting"))
    with pytest.raises(InputError, match="choose with --defense and --attack among: net/digits"):
        single_text("robustbench", named)
