"""Only regular files are opened: nothing else is waited for, whatever name it goes by."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from advbench.regular_files import (
    IrregularFileError,
    check_regular,
    is_regular,
    open_regular,
    read_if_there,
    read_regular,
)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # the whole path may be longer than a socket's may be


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


IRREGULAR = {
    "a folder": (Path.mkdir, "it is a folder, not a file"),
    "a pipe": (os.mkfifo, "it is a pipe, not a file"),
    "a socket": (make_socket, "it is a socket, not a file"),
    "a device": (link_to("/dev/zero"), "it is a device, not a file"),
    "a terminal": (link_to("/dev/tty"), "it is a device, not a file"),
}


@pytest.mark.parametrize(("make", "sentence"), IRREGULAR.values(), ids=IRREGULAR.keys())
def test_what_is_no_file_is_refused_by_what_it_is(
    make: Callable[[Path], None], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(path := tmp_path / "weights.pt")
    with pytest.raises(IrregularFileError) as caught:
        open_regular(path)
    assert (caught.value.strerror, caught.value.filename) == (sentence, str(path))
    with pytest.raises(IrregularFileError):
        check_regular(path)
    assert not is_regular(path)
    assert read_if_there(path, 10) is None


def test_a_pipe_that_takes_a_files_place_after_the_look_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    (file := tmp_path / "file").write_bytes(b"x")
    status = file.stat()
    monkeypatch.setattr(Path, "stat", lambda _: status)
    with pytest.raises(IrregularFileError, match="pipe"):
        open_regular(pipe)


def test_links_are_followed_and_a_circle_of_them_ends(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"contents")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 8) == b"contents"
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    assert not is_regular(tmp_path / "one")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "one")


def test_a_large_file_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    with (path := tmp_path / "large").open("wb") as file:
        file.truncate(1 << 20)
    with pytest.raises(OSError, match="more than 1,000 bytes") as caught:
        read_regular(path, 1000)
    assert caught.value.errno == errno.EFBIG
    assert read_if_there(path, 1000) is None


def test_a_file_of_holes_is_refused(tmp_path: Path) -> None:
    with (path := tmp_path / "holes").open("wb") as file:
        file.write(b"head")
        file.truncate(1 << 40)  # takes no room on the disk
    if path.stat().st_blocks * 512 > 1 << 20:
        pytest.skip("the file system has no holes")
    with pytest.raises(IrregularFileError, match="1,099,511,627,776 bytes, nearly all of them holes"):
        open_regular(path)


def test_what_is_missing_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "no")
    assert read_if_there(tmp_path / "no", 1) is None
