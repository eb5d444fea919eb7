"""Files are whole or absent, have one writer, and are no bombs."""

import hashlib
import io
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from advbench.errors import RunError
from advbench.files import (
    FolderLock,
    bomb_in,
    half_written,
    is_free,
    is_named_after,
    sha256,
    short_digest,
    write_whole,
)


@pytest.mark.parametrize("contents", [b"", b"new", bytes(1 << 20)])
@pytest.mark.parametrize("before", [None, b"old and longer than new"])
def test_a_file_holds_what_was_written_and_nothing_lies_beside_it(
    contents: bytes, before: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    if before is not None:
        path.write_bytes(before)
    write_whole(path, contents)
    assert path.read_bytes() == contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_says_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path := tmp_path / "a.json").write_bytes(b"old")
    (tmp_path / ".b.json.9.partial").touch()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"cannot write .*a\.json: No space left on device\. What was"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in half_written(tmp_path, "a.json")] == [f".a.json.{os.getpid()}.partial"]
    assert len(list(half_written(tmp_path))) == 2


@pytest.mark.parametrize("place", ["missing/a.json", "file/a.json", "x" * 300])
def test_a_place_that_cannot_be_is_an_error_that_names_it(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write"):
        write_whole(tmp_path / place, b"new")


@pytest.mark.parametrize("contents", [b"", b"a", bytes(range(256)) * 1000])
def test_digests_are_those_of_the_contents(contents: bytes, tmp_path: Path) -> None:
    (path := tmp_path / f"0000-000001-{short_digest(contents)}.parquet").write_bytes(contents)
    assert sha256(path) == hashlib.sha256(contents).hexdigest()
    assert short_digest(contents) == hashlib.blake2b(contents, digest_size=8).hexdigest()
    assert is_named_after(path, contents)
    assert not is_named_after(path, contents + b"x")
    assert not is_named_after(tmp_path / "noname", contents)


def test_a_lock_has_one_owner_until_it_is_released_or_forgotten(tmp_path: Path) -> None:
    assert is_free(tmp_path)
    first = FolderLock(tmp_path)
    with pytest.raises(BlockingIOError):
        FolderLock(tmp_path)
    assert not is_free(tmp_path)
    first.release()
    first.release()
    assert is_free(tmp_path)
    assert is_free(tmp_path), "looking takes nothing"
    second = FolderLock(tmp_path)
    del second
    assert is_free(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_not_free(tmp_path: Path) -> None:
    assert not is_free(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        FolderLock(tmp_path / "missing")


def test_a_lock_is_not_left_to_the_processes_that_its_owner_starts(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    waiting = [sys.executable, "-S", "-c", "input()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        freed = is_free(tmp_path)
        child.communicate(b"\n")
    assert freed
    assert child.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_a_release_frees_the_folder_though_another_holds_a_copy_of_the_descriptor(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    assert lock.descriptor is not None
    copy = os.dup(lock.descriptor)
    lock.release()
    assert is_free(tmp_path)
    os.close(copy)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_copy_of_the_owner_takes_no_lock_away(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert not is_free(tmp_path)
    lock.release()
    assert is_free(tmp_path)


def archive(declared: int) -> zipfile.ZipFile:
    """An archive of two members, one of which declares a size."""
    with zipfile.ZipFile(file := io.BytesIO(), "w") as written:
        written.writestr("a", b"x" * 10)
        written.writestr("b", b"")
    opened = zipfile.ZipFile(file)
    opened.getinfo("b").file_size = declared
    return opened


@pytest.mark.parametrize(
    ("size", "declared", "is_bomb"),
    [
        (200, 0, False),
        (200, (1 << 30) - 10, False),  # harmless, however well it is packed
        (200, (1 << 30) - 9, True),
        (20_000_000, 2_000_000_000 - 10, False),  # a hundredfold
        (20_000_000, 2_000_000_000 - 9, True),
    ],
)
def test_a_bomb_is_told_by_what_its_members_declare_together(size: int, declared: int, is_bomb: bool) -> None:
    said = bomb_in(archive(declared), size)
    assert (said is not None) is is_bomb
    if said is not None:
        assert said == (
            f"it has {size:,} bytes and declares to unpack to {declared + 10:,}, which no honest file does"
        )
