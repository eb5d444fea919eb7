"""A folder is claimed by one process at a time, and what is in the way is said in a sentence."""

import json
import re
from pathlib import Path

import pytest

from advbench.errors import RunFolderError
from advbench.files import FolderLock, is_free
from advbench.runs.claimed_folder import ClaimedFolder, claiming, looking_into, new_dated_folder


def test_entries_are_added_and_those_of_before_stay(tmp_path: Path) -> None:
    folder = ClaimedFolder(tmp_path, file_name="sweep.json")
    folder.update(status="running", n=3)
    folder.update(status="done")
    assert folder.account == tmp_path / "sweep.json"
    assert json.loads(folder.account.read_text()) == {"status": "done", "n": 3} == folder.manifest
    assert [each.name for each in tmp_path.iterdir()] == ["sweep.json"]


def test_two_folders_share_no_manifest(tmp_path: Path) -> None:
    ClaimedFolder(tmp_path).update(a=1)
    assert ClaimedFolder(tmp_path).manifest == {}


def test_release_frees_the_folder_and_once_is_enough(tmp_path: Path) -> None:
    folder = ClaimedFolder(tmp_path, lock=FolderLock(tmp_path))
    assert not is_free(tmp_path)
    folder.release()
    folder.release()
    assert is_free(tmp_path)
    ClaimedFolder(tmp_path).release()


@pytest.mark.parametrize(
    ("error", "path", "said"),
    [
        (BlockingIOError(11, "busy"), Path("x"), "x is being written by another sweep; give another --out."),
        (OSError(28, "No space left on device"), Path("x"), "cannot write to x: No space left on device."),
        (PermissionError(13, "Permission denied"), None, "cannot write to runs/: Permission denied."),
    ],
)
def test_what_keeps_a_folder_from_being_claimed_is_said(error: OSError, path: Path | None, said: str) -> None:
    with pytest.raises(RunFolderError) as caught, claiming(path, "sweep"):
        raise error
    assert str(caught.value) == said


def test_other_errors_are_told_as_they_are() -> None:
    with pytest.raises(RunFolderError, match="holds another run"), claiming(Path("x")):
        raise RunFolderError("x holds another run")
    with pytest.raises(KeyError), looking_into(Path("x")):
        raise KeyError


def test_a_file_is_no_folder_nor_is_anything_below_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunFolderError, match=r"--out .* is not a folder\."), looking_into(path):
            pass
    with (
        pytest.raises(RunFolderError, match="cannot be used: File name too long"),
        looking_into(Path("x" * 300)),
    ):
        pass
    with looking_into(tmp_path / "missing" / "run"):
        assert not (tmp_path / "missing").exists(), "looking makes nothing"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("digits-cnn", "digits-cnn"),
        ("a/file.py:make", "a-file.py-make"),
        ("../../etc", "etc"),
        ("ü – ü", ""),
        ("x" * 100, "x" * 40),
    ],
)
def test_a_dated_folder_is_new_and_its_name_is_plain(
    label: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = [new_dated_folder(label) for _ in range(3)]
    assert len(set(made)) == 3
    assert all(each.is_dir() and each.parent == Path("runs") for each in made)
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\d-{re.escape(name)}", made[0].name)
