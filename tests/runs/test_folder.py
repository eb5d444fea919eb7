"""A run's folder: every file is whole at every moment, and nothing of anybody else's is touched."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from advbench.errors import RunError, RunFolderError
from advbench.files import FolderLock, is_free
from advbench.results.records import SAMPLE_TYPES, join_samples
from advbench.results.shown import PURPOSES
from advbench.results.table import Cell
from advbench.runs.examples import Examples
from advbench.runs.folder import RunFolder, check_free, open_folder
from advbench.runs.manifest import run_hash

TABLES = ("samples.parquet", "table.md")


def samples(*indices: int) -> pd.DataFrame:
    return pd.DataFrame({"index": list(indices)})


def records(*indices: int) -> pd.DataFrame:
    """Whole records, of images that fell to an attack."""
    columns: dict[str, object] = {"index": list(indices), "rung": "bpda", "defense": "round", "attack": "pgd"}
    numbers = {name: 0 for name in SAMPLE_TYPES if name not in columns}
    return join_samples([pd.DataFrame({**columns, **numbers})[list(SAMPLE_TYPES)]])


def files(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())


def test_a_run_writes_its_manifest_parts_samples_and_tables(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "a/b", "run", {"status": "running"})
    folder.add_part(samples(0, 1))
    folder.add_part(samples(2))
    folder.write_samples(samples(0, 1, 2))
    folder.write_text("table.md", "– ü\n")
    folder.update(status="done", n=3, files=folder.written)
    assert [re.sub(r"-[0-9a-f]{16}", "", each) for each in files(folder.path)] == [
        "parts/0000-000000.parquet",
        "parts/0000-000001.parquet",
        "run.json",
        "samples.parquet",
        "table.md",
    ]
    manifest = json.loads((folder.path / "run.json").read_text())
    digests = {name: hashlib.sha256((folder.path / name).read_bytes()).hexdigest() for name in TABLES}
    expected = {"status": "done", "n": 3, "earlier_starts": [], "hash": run_hash({}), "files": digests}
    expected["shown"] = dict.fromkeys(PURPOSES, 0)
    assert manifest == expected
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
    assert len(list((tmp_path / "parts").glob("*.parquet"))) == 1
    folder.add_part(samples(1))
    (second,) = (tmp_path / "parts").glob("0000-000001-*.parquet")
    assert pd.read_parquet(second)["index"].tolist() == [1]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_free_if_it_is_missing_empty_or_holds_no_run(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "notes.txt").touch()
    check_free(tmp_path, {}, overwrite=overwrite)
    check_free(tmp_path / "not/yet", {}, overwrite=overwrite)
    assert files(tmp_path) == ["notes.txt"]


RUN: dict[str, Any] = {
    "settings": {"seed": 0, "attacks": {"pgd": {"steps": 40}}},
    "checkpoint": {"sha256": "abc", "path": "a.pt"},
    "data": {"fingerprint": "def"},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": {**RUN["settings"], "seed": 1}}, "seed was 0, now 1"),
        ({"settings": {"seed": 0, "attacks": {"pgd": {"steps": 7}}}}, "attacks.pgd.steps was 40, now 7"),
        ({"checkpoint": {"sha256": "xyz"}}, 'checkpoint was "abc", now "xyz"'),
        ({"data": {"fingerprint": "ghi"}}, 'images was "def", now "ghi"'),
    ],
)
def test_a_folder_with_another_run_is_refused_with_what_differs(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    open_folder(tmp_path, "run", RUN)
    for refuse in (
        lambda run: check_free(tmp_path, run, overwrite=False),
        lambda run: open_folder(tmp_path, "", run),
    ):
        with pytest.raises(RunFolderError, match=re.escape(said) + r".*--overwrite"):
            refuse({**RUN, **change})
    check_free(tmp_path, {**RUN, **change}, overwrite=True)


def test_the_same_run_goes_on_with_its_parts(tmp_path: Path) -> None:
    first = open_folder(tmp_path, "run", RUN)
    parts = [records(0, 1), records(2, 3)]
    for part in parts:
        first.add_part(part)
    before_the_images_are_known = {
        **RUN,
        "data": {"n": 4},
        "checkpoint": {"sha256": "abc", "path": "moved.pt"},
    }
    check_free(tmp_path, before_the_images_are_known, overwrite=False)
    first.release()
    second = open_folder(tmp_path, "run", RUN)
    pd.testing.assert_frame_equal(second.known, join_samples(parts))
    assert second.parts == 2
    second.release()
    assert len(open_folder(tmp_path, "run", RUN, overwrite=True).known) == 0


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other columns", "no parquet"])
def test_a_damaged_part_is_done_again_and_nothing_else_is_lost(tmp_path: Path, damage: str) -> None:
    first = open_folder(tmp_path, "run", RUN)
    first.add_part(records(0, 1))
    first.add_part(records(2, 3))
    part = min((tmp_path / "parts").iterdir())
    whole = part.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    part.write_bytes(
        {
            "flip": bytes(flipped),
            "cut": whole[:100],
            "empty": b"",
            "other columns": samples(0).to_parquet(),
            "no parquet": b"cos\nsystem\n(S'true'\ntR.",
        }[damage]
    )
    first.release()
    again = open_folder(tmp_path, "run", RUN)
    assert again.known["index"].tolist() == [2, 3]
    assert again.damaged == 1
    assert not part.exists()
    assert again.parts == 2, "a number is never used twice"


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "[" * 100_000])
def test_a_forged_manifest_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"run.json (is damaged|describes no run).*--overwrite"):
        check_free(tmp_path, RUN, overwrite=False)


@pytest.mark.parametrize("group", ["settings", "checkpoint", "data"])
@pytest.mark.parametrize("value", [None, 3, "x", [1], {"sha256": {"deep": []}}])
def test_a_manifest_of_odd_shape_is_another_run(tmp_path: Path, group: str, value: object) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**RUN, group: value}))
    with pytest.raises(RunFolderError, match="already holds another run"):
        check_free(tmp_path, RUN, overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_no_folder_for_a_run(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="is not a folder"):
        check_free(tmp_path / "file", {}, overwrite=overwrite)


def test_a_replaced_run_leaves_nothing_behind_but_what_others_put_there(tmp_path: Path) -> None:
    old = open_folder(tmp_path, "run", {"status": "done", "seed": 1})
    old.add_part(samples(0))
    old.write_samples(samples(0))
    for name in ("table.csv", "table.md", "table.json", "notes.txt"):
        old.write_text(name, "old")
    old.release()
    new = open_folder(tmp_path, "run", {"status": "running"}, overwrite=True)
    assert files(tmp_path) == ["notes.txt", "run.json"]
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "running"
    new.add_part(samples(1))
    assert [each[:12] for each in files(tmp_path / "parts")] == ["0000-000000-"]


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
    old.release()
    open_folder(tmp_path, "run", {})
    assert files(tmp_path) == ["run.json"]


@pytest.mark.parametrize("name", ["table.csv", "parts/mine.parquet", "samples.parquet"])
def test_files_that_are_no_run_are_never_destroyed_without_overwrite(tmp_path: Path, name: str) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("precious")
    try:
        check_free(tmp_path, {}, overwrite=False)
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


def test_one_run_writes_to_a_folder_at_a_time(tmp_path: Path) -> None:
    first = open_folder(tmp_path, "run", RUN)
    with pytest.raises(RunFolderError, match="being written by another run"):
        open_folder(tmp_path, "run", RUN)
    assert not is_free(tmp_path)
    first.release()
    first.release()
    assert is_free(tmp_path)
    open_folder(tmp_path, "run", RUN)
    assert files(tmp_path) == ["run.json"], "the lock leaves nothing behind"


def test_the_lock_of_a_killed_process_is_gone(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from advbench.files import FolderLock
lock = FolderLock(Path({str(tmp_path)!r}))
print("locked", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert not is_free(tmp_path)
    process.kill()
    process.wait()
    process.stdout.close()
    assert is_free(tmp_path)


def test_a_file_system_that_cannot_lock_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert FolderLock(tmp_path).descriptor is None
    open_folder(tmp_path, "run", RUN)


@pytest.mark.parametrize("gone", ["parts", "adversarial", "substitutes"])
def test_a_run_is_not_sealed_without_what_it_has_finished(gone: str, tmp_path: Path) -> None:
    manifest = {**RUN, "settings": {**RUN["settings"], "save_adversarial": "all"}}
    folder = open_folder(tmp_path, "run", manifest)
    examples = Examples(Cell("round", "pgd", "bpda"), torch.tensor([0]), torch.zeros(1, 1, 2, 2))
    folder.add_part(records(0), examples)
    folder.save("search-0.json", b"{}")
    folder.write_samples(records(0))
    shutil.rmtree(tmp_path / gone)
    with pytest.raises(RunError, match=rf"{gone}/.* were removed while it went on"):
        folder.seal()
    assert "seal" not in json.loads((tmp_path / "run.json").read_text())


def test_a_run_that_went_on_is_not_sealed_without_what_an_earlier_start_had_finished(tmp_path: Path) -> None:
    first = open_folder(tmp_path, "run", RUN)
    first.add_part(records(0))
    first.release()
    folder = open_folder(tmp_path, "run", RUN)
    folder.add_part(records(1))
    folder.write_samples(records(0, 1))
    next((tmp_path / "parts").glob("0000-000000-*")).unlink()
    with pytest.raises(RunError, match="removed while it went on"):
        folder.seal()
