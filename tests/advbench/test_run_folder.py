"""A run's folder: every file is whole at every moment, and nothing of anybody else's is touched."""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from advbench.errors import RunError, RunFolderError
from advbench.run_folder import RunFolder, check_free, open_folder


def samples(*indices: int) -> pd.DataFrame:
    return pd.DataFrame({"index": list(indices)})


def files(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())


def test_a_run_writes_its_manifest_parts_samples_and_tables(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "a/b", "run", {"status": "running"})
    folder.add_part(samples(0, 1))
    folder.add_part(samples(2))
    folder.write_samples("samples.parquet", samples(0, 1, 2))
    folder.write_text("table.md", "– ü\n")
    folder.update(status="done", n=3)
    assert files(folder.path) == [
        "parts/000000.parquet",
        "parts/000001.parquet",
        "run.json",
        "samples.parquet",
        "table.md",
    ]
    assert json.loads((folder.path / "run.json").read_text()) == {"status": "done", "n": 3}
    assert (folder.path / "table.md").read_text(encoding="utf-8") == "– ü\n"
    parts = [pd.read_parquet(each) for each in sorted((folder.path / "parts").iterdir())]
    pd.testing.assert_frame_equal(
        pd.concat(parts, ignore_index=True), pd.read_parquet(folder.path / "samples.parquet")
    )


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_an_interrupted_write_leaves_the_old_file_whole(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.update(status="running")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        folder.update(status="done", long="x" * 100_000)
    assert json.loads((tmp_path / "run.json").read_text()) == {"status": "running"}


def test_a_part_that_was_interrupted_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(tmp_path, "run", {})
    folder.add_part(samples(0))

    def fill(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill)
        with pytest.raises(RunError, match="No space left on device"):
            folder.add_part(samples(1))
    assert [each.name for each in (tmp_path / "parts").glob("*.parquet")] == ["000000.parquet"]
    folder.add_part(samples(1))
    assert pd.read_parquet(tmp_path / "parts/000001.parquet")["index"].tolist() == [1]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_free_if_it_is_missing_empty_or_holds_no_run(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "notes.txt").touch()
    check_free(tmp_path, overwrite=overwrite)
    check_free(tmp_path / "not/yet", overwrite=overwrite)
    assert files(tmp_path) == ["notes.txt"]


def test_a_folder_with_a_run_is_free_only_to_overwrite(tmp_path: Path) -> None:
    open_folder(tmp_path, "run", {"status": "failed"})
    with pytest.raises(RunFolderError, match=r"already holds another run.*--overwrite"):
        check_free(tmp_path, overwrite=False)
    check_free(tmp_path, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_no_folder_for_a_run(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="is not a folder"):
        check_free(tmp_path / "file", overwrite=overwrite)


def test_a_replaced_run_leaves_nothing_behind_but_what_others_put_there(tmp_path: Path) -> None:
    old = open_folder(tmp_path, "run", {"status": "done", "seed": 1})
    old.add_part(samples(0))
    old.write_samples("samples.parquet", samples(0))
    for name in ("table.csv", "table.md", "table.json", "notes.txt"):
        old.write_text(name, "old")
    new = open_folder(tmp_path, "run", {"status": "running"})
    assert files(tmp_path) == ["notes.txt", "run.json"]
    assert json.loads((tmp_path / "run.json").read_text()) == {"status": "running"}
    new.add_part(samples(1))
    assert files(tmp_path / "parts") == ["000000.parquet"]


def test_a_replaced_run_leaves_no_half_written_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_folder(tmp_path, "run", {})

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        with pytest.raises(KeyboardInterrupt):
            old.add_part(samples(0))
    # The process that replaces it has another id, and so would not use the same name again.
    for half in (tmp_path / "parts").glob(".*"):
        half.rename(half.with_name(half.name.replace(str(os.getpid()), "1")))
    open_folder(tmp_path, "run", {})
    assert files(tmp_path) == ["run.json"]


@pytest.mark.parametrize("name", ["table.csv", "parts/mine.parquet", "samples.parquet"])
def test_files_that_are_no_run_are_never_destroyed_without_overwrite(tmp_path: Path, name: str) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("precious")
    try:
        check_free(tmp_path, overwrite=False)
    except RunFolderError:
        return  # refusing such a folder is as good
    open_folder(tmp_path, "run", {})
    assert mine.exists()
    assert mine.read_text() == "precious"


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=f"cannot write to .*{place}"):
        open_folder(tmp_path / place, "run", {})


def test_a_file_in_the_way_of_the_parts_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "parts").touch()
    with pytest.raises(RunFolderError, match="cannot write to"):
        open_folder(tmp_path, "run", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunFolderError, match="Permission denied"):
        open_folder(tmp_path / "run", "run", {})


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("digits-cnn-digits", "digits-cnn-digits"),
        ("../../evil/model.py:make", "evil-model.py-make"),
        ("a b\tc@d+e", "a-b-c-d-e"),
        ("x" * 90, "x" * 40),
    ],
)
def test_the_default_folder_is_dated_and_stays_under_runs(
    label: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = open_folder(None, label, {}).path
    assert path.parent == Path("runs")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-" + re.escape(name), path.name)


def test_runs_that_begin_in_the_same_second_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len({open_folder(None, "model", {}).path for _ in range(20)}) == 20


def test_a_run_that_found_nothing_is_taken_back_and_other_files_stay(tmp_path: Path) -> None:
    open_folder(tmp_path / "new", "run", {}).discard()
    assert not (tmp_path / "new").exists()
    (tmp_path / "notes.txt").touch()
    open_folder(tmp_path, "run", {}).discard()
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]
