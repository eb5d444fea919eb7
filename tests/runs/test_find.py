"""Folders of runs are found wherever they lie, in bounds, and without following links."""

import os
from pathlib import Path

import pytest

from advbench.errors import InputError
from advbench.runs import find
from advbench.runs.find import find_folders

NAMES = ("run.json", "sweep.json")


def run_in(folder: Path, name: str = "run.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("{}")
    return folder


def test_runs_and_sweeps_are_found_in_order_and_not_looked_into(tmp_path: Path) -> None:
    run_in(tmp_path / "b" / "c")
    run_in(tmp_path / "a")
    run_in(tmp_path / "sweep", "sweep.json")
    run_in(tmp_path / "sweep" / "runs" / "inside")
    (tmp_path / "empty").mkdir()
    there = find_folders(tmp_path, NAMES)
    assert [path.relative_to(tmp_path).as_posix() for path in there.folders] == ["a", "b/c", "sweep"]
    assert not there.unread
    assert not there.left_out


def test_links_are_not_followed(tmp_path: Path) -> None:
    run_in(tmp_path / "home" / "a")
    (tmp_path / "home" / "round").symlink_to(tmp_path / "home", target_is_directory=True)
    run_in(tmp_path / "elsewhere")
    (tmp_path / "home" / "away").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [path.name for path in find_folders(tmp_path / "home", NAMES).folders] == ["a"]


def test_depth_names_and_folders_are_bounded_and_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path.joinpath(*"abcdefgh")
    run_in(deep)
    run_in(deep.parent / "x" / "y")
    there = find_folders(tmp_path, NAMES)
    assert [path.name for path in there.folders] == ["h"]
    assert there.left_out == ["Folders more than 8 levels down are not looked at."]
    for number in range(5):
        run_in(tmp_path / "many" / str(number))
    monkeypatch.setattr(find, "MOST_FOLDERS", 3)
    there = find_folders(tmp_path / "many", NAMES)
    assert len(there.folders) == 3
    assert there.left_out == ["3 folders are shown, and more may lie there: name one inside."]
    monkeypatch.setattr(find, "MOST_ENTRIES", 4)
    assert len(find_folders(tmp_path / "many", NAMES).folders) < 3


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        find_folders(tmp_path / "none", NAMES)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no folder"):
        find_folders(tmp_path / "file", NAMES)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_may_not_be_looked_into_is_told(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o000)
    ((path, reason),) = find_folders(tmp_path, NAMES).unread
    assert (path.name, reason) == ("shut", "it cannot be looked into: Permission denied")


def test_one_folder_with_too_many_names_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "MOST_ENTRIES", 3)
    for number in range(5):
        (tmp_path / f"{number}.txt").touch()
    assert find_folders(tmp_path, NAMES).left_out == [
        "0 folders are shown, and more may lie there: name one inside."
    ]
