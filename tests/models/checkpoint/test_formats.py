"""What a file is, is told by its first bytes and its members, never by its name."""

import io
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from advbench.errors import CheckpointError
from advbench.models.checkpoint.formats import Format, damaged, detect_format
from tests.checkpoints import refusal


def archive(**members: str) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as content:
        for name, text in members.items():
            content.writestr(name, text)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"weights, honestly\nand more\n", "not a checkpoint"),
        (b'{"json": "is a text too"}', "not a checkpoint"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not a checkpoint"),
        (b"\x1f\x8b\x08" + bytes(100), "not a checkpoint"),
        (archive(**{"readme.txt": "hello"}), "zip archive"),
        (archive(**{"archive/data.pkl": "hello"}), "damaged"),
        (b"\x80\x02garbage", "damaged"),
        (b"\x08\0\0\0\0\0\0\0{garbage", "damaged"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert expected in refusal(path)


@pytest.mark.parametrize(("name", "expected"), [("none.pt", "there is no checkpoint"), ("", "is not a file")])
def test_a_missing_file_or_a_folder_is_refused(name: str, expected: str, tmp_path: Path) -> None:
    assert expected in refusal(tmp_path / name)


def saved(*, zipped: bool) -> bytes:
    torch.save({"w": torch.zeros(1)}, file := io.BytesIO(), _use_new_zipfile_serialization=zipped)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (saved(zipped=True), Format.PICKLE),
        (saved(zipped=False), Format.LEGACY),
        (safetensors.torch.save({"w": torch.zeros(1)}), Format.SAFETENSORS),
        (archive(**{"a/data.pkl": "", "a/code/net.py": ""}), Format.TORCHSCRIPT),
        (archive(**{"a/archive_format": "pt2", "a/data.pkl": ""}), Format.EXPORTED),
        (archive(**{"a/serialized_exported_program.json": ""}), Format.EXPORTED),
    ],
)
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "picture.png", "noname"])
def test_the_contents_alone_say_what_a_file_is(
    content: bytes, form: Format, name: str, tmp_path: Path
) -> None:
    (path := tmp_path / name).write_bytes(content)
    assert detect_format(path) is form


def test_an_archive_that_would_fill_the_memory_is_not_opened(tmp_path: Path) -> None:
    content = archive(**{"a/data.pkl": "x" * 7})
    declared = content.replace(b"\x07\0\0\0\x07\0\0\0", b"\x07\0\0\0\xff\xff\xff\x7f")
    (path := tmp_path / "a.pt").write_bytes(declared)
    with pytest.raises(CheckpointError, match=r"refused: it has 1\d\d bytes and declares .* 2,147,483,647"):
        detect_format(path)


def test_a_name_that_no_file_can_have_is_no_checkpoint() -> None:
    with pytest.raises(CheckpointError, match="cannot be read: File name too long"):
        detect_format(Path("a" * 300))
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        detect_format(Path("a\0b"))


def test_the_message_of_a_damaged_file_is_one_line_that_names_it(tmp_path: Path) -> None:
    (path := tmp_path / "a.pt").write_bytes(archive(**{"a/data.pkl": "x"})[:-9])
    with pytest.raises(CheckpointError) as caught:
        detect_format(path)
    assert str(caught.value) == damaged(path)
    assert damaged(path).startswith(f"{path} is truncated or damaged. ")
