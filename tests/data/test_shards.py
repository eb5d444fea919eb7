"""Tar files give their samples in order, each picture from its place, and nothing that is no sample."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from advbench.data import shards
from advbench.data.load import load_dataset
from advbench.data.shards import open_shards
from advbench.errors import DatasetError
from tests.data.encoded import PNGS
from tests.data.places import LABELS, PIXELS, place, read, refusal


def write(path: Path, members: Sequence[tuple[str, bytes]], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # its modes are literals
        for name, contents in members:
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    return path


def sample(index: int, label: str | None = None) -> list[tuple[str, bytes]]:
    text = str(LABELS[index]) if label is None else label
    return [(f"{index:04}.cls", text.encode()), (f"{index:04}.json", b"{}"), (f"{index:04}.png", PNGS[index])]


def test_samples_come_in_the_order_of_files_and_members(tmp_path: Path) -> None:
    write(tmp_path / "test-1.tar", [*sample(4), *sample(5)])
    write(tmp_path / "test-0.tar", [member for index in range(4) for member in sample(index)])
    batch = read("webdataset", place(tmp_path))
    torch.testing.assert_close(batch.x, torch.from_numpy(PIXELS) / 255)
    assert batch.y.tolist() == LABELS.tolist()
    images = load_dataset("webdataset", place(tmp_path / "test-1.tar"))
    assert (len(images), images.name_of(1)) == (2, f"{tmp_path / 'test-1.tar'}: 0005")


def test_names_and_folders_within_are_followed(tmp_path: Path) -> None:
    members = [
        ("eel/1.jpg.cls", b"eel\n"),
        ("eel/1.png", PNGS[0]),
        ("cat/1.PNG", PNGS[1]),
        ("cat/1.CLS", b"cat"),
    ]
    members[0] = ("eel/1.cls", b"eel\n")
    folder = tarfile.TarInfo("cat")
    folder.type = tarfile.DIRTYPE
    path = write(tmp_path / "a.tar", members[:2])
    with tarfile.open(path, "a") as archive:
        archive.addfile(folder)
        for name, contents in members[2:]:
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    pictures, labels, classes = open_shards([path])
    assert [file.read() for file in pictures] == PNGS[:2]
    assert (labels.tolist(), classes) == ([1, 0], ["cat", "eel"])
    assert [file.name for file in pictures[1:]] == [f"{path}: cat/1"]


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (
            sample(0)[1:],
            "sample 0000 has .json, .png; expected one picture (.jpg, .png, ...) and a label (.cls).",
        ),
        (sample(0)[:2], "sample 0000 has .cls, .json; expected one picture"),
        ([*sample(0), ("0000.jpg", b"")], "sample 0000 has .cls, .json, .png, .jpg; expected one picture"),
        ([*sample(0), ("0000.png", b"")], "sample 0000 has two files .png."),
        (sample(0, "x" * 1001), "sample 0000 is larger than any picture or label."),
        ([("0.cls", b"\xff"), ("0.png", PNGS[0])], "sample 0: its label is no text."),
        ([*sample(0, "")], "the files .cls has nothing in row 1"),
        ([("a\x1b.txt", b"")], r"sample a\x1b has .txt; expected one picture"),
    ],
)
def test_what_is_no_sample_is_refused_by_its_name(
    members: list[tuple[str, bytes]], sentence: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.tar", members)
    assert sentence in refusal("webdataset", place(tmp_path / "a.tar"))


def test_packed_and_damaged_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "packed.tar", sample(0), "w:gz")
    assert "packed.tar is damaged or no unpacked tar file: " in refusal(
        "webdataset", place(tmp_path / "packed.tar")
    )
    (tmp_path / "text.tar").write_bytes(b"no archive, but text" * 100)
    assert "text.tar is damaged or no unpacked tar file: " in refusal(
        "webdataset", place(tmp_path / "text.tar")
    )
    assert "holds no images" in refusal("webdataset", place(write(tmp_path / "empty.tar", [])))


def test_a_picture_that_is_cut_off_later_is_told_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", sample(0))
    images = load_dataset("webdataset", place(path))
    contents = path.read_bytes()
    path.write_bytes(contents[: contents.index(PNGS[0]) + 20])
    with pytest.raises(DatasetError, match=r"image .*a\.tar: 0000 "):
        images[0]


def test_members_that_do_not_follow_each_other_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.tar", sample(0))
    real = tarfile.TarFile.next

    def twice(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        member = real(archive)
        if member is not None:
            member.offset = 0
        return member

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "next", twice)
        with pytest.raises(DatasetError, match="its members do not follow each other"):
            open_shards([path])
    monkeypatch.setattr(shards, "_MOST", 2)
    with pytest.raises(DatasetError, match=r"a\.tar has more than 2 members"):
        open_shards([path])
