"""A run read back from its folder: the same table, and nothing taken on trust."""

import json
from pathlib import Path
from typing import Any

import pytest

from advbench import cli
from advbench.errors import RunFolderError
from advbench.reports import render
from advbench.reports.formats import FILE_NAMES
from advbench.runs.read import read_finished_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    words = "attack --defense round --bpda --first 8 --steps 2 --attack pgd --attack fgsm --quiet --format"
    assert cli.main([*words.split(), "csv,markdown,latex,json", "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def forge(run: Path, **entries: Any) -> None:
    """Write other entries, and take the seal off, which would tell."""
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**manifest, "seal": None, **entries}))


def test_a_finished_run_gives_its_tables_to_the_byte(run: Path) -> None:
    found = read_finished_run(run)
    assert len(found.rows) == 4
    for form, name in FILE_NAMES.items():
        assert render(found.rows, form, found.origin) == (run / name).read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"attacks": "pgd"},
        {"attacks": ["pgd", 3]},
        {"substitutes": ["none"]},
        {"substitutes": {"none": ""}},
        {"substitutes": {"none": "", "other": "identity"}},
        {"doubts": {"none": "text"}},
        {"doubts": None},
        {"rungs": "bpda"},
        {"rungs": None},
        {"gradient_free": 3},
        {"model": 3},
        {"more": 1},
    ],
)
def test_a_forged_account_of_the_table_is_refused(run: Path, change: dict[str, Any]) -> None:
    heading = json.loads((run / "run.json").read_text())["heading"]
    forge(run, heading={**heading, **change})
    with pytest.raises(RunFolderError):
        read_finished_run(run)


def test_what_verify_finds_without_a_model_is_no_ground_of_a_table(run: Path) -> None:
    manifest = json.loads((run / "run.json").read_text())
    forge(run)
    assert len(read_finished_run(run).rows) == 4, "a run of an earlier version has no seal"
    forge(run, seal=manifest["seal"], notes=["more"])
    with pytest.raises(RunFolderError, match="not what it was when the run was sealed"):
        read_finished_run(run)
    forge(run, settings={**manifest["settings"], "seed": 1})
    with pytest.raises(RunFolderError, match="not the settings that the run was hashed with"):
        read_finished_run(run)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"model": "resnet50"}, "model"),
        ({"dataset": "imagenet"}, "data set"),
        ({"norm": "l2"}, "norm"),
        ({"eps": "0.5"}, "radius"),
        ({"attacks": ["pgd:steps=1000", "fgsm"]}, "attack"),
        ({"rungs": ["shattered"]}, "rung"),
    ],
)
def test_a_heading_that_names_another_thing_than_the_settings_is_refused(
    run: Path, change: dict[str, Any], name: str
) -> None:
    heading = json.loads((run / "run.json").read_text())["heading"]
    forge(run, heading={**heading, **change})
    with pytest.raises(RunFolderError, match=f"its heading and its settings name another {name}"):
        read_finished_run(run)


@pytest.mark.parametrize("entries", [{"heading": None}, {"heading": []}, {"status": "running"}, {"files": 3}])
def test_a_run_that_is_not_whole_is_refused(run: Path, entries: dict[str, Any]) -> None:
    forge(run, **entries)
    with pytest.raises(RunFolderError):
        read_finished_run(run)


def test_records_that_were_changed_are_refused(run: Path) -> None:
    samples = run / "samples.parquet"
    samples.write_bytes(samples.read_bytes() + b"0")
    with pytest.raises(RunFolderError, match="not as the run wrote it"):
        read_finished_run(run)
    samples.unlink()
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_finished_run(run)
