"""Tensors are read from where the pickle says they lie, and never from beyond."""

import pickle
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from advbench.errors import CheckpointError
from advbench.models.checkpoint.archive import (
    Contents,
    NoTorchFileError,
    archive_contents,
    legacy_contents,
)
from advbench.models.checkpoint.load import load_checkpoint
from advbench.models.digits_cnn import DigitsCNN
from advbench.names.grammar import parse_spec


def altered(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, contents in members.items():
            archive.writestr(name, change(name, contents))


@pytest.mark.parametrize(
    "change",
    [
        lambda name, contents: contents[:-4] if "/data/" in name else contents,
        lambda name, contents: contents + bytes(4) if "/data/" in name else contents,
        lambda name, contents: b"big" if name.endswith("byteorder") else contents,
        # 64 outputs instead of 10, from a storage of 10: a view beyond its end
        lambda name, contents: contents.replace(b"K\x0a\x85", b"K\x40\x85"),
        lambda name, contents: contents.replace(b"K\x0a\x85", b"J\xff\xff\xff\xff\x85"),
    ],
    ids=["a storage too short", "too long", "another byte order", "a view beyond", "a size below zero"],
)
def test_numbers_that_are_not_there_are_not_read(
    change: Callable[[str, bytes], bytes], tmp_path: Path
) -> None:
    torch.save(DigitsCNN().state_dict(), path := tmp_path / "a.pt")
    altered(path, change)
    with pytest.raises(CheckpointError):
        load_checkpoint(path, DigitsCNN, parse_spec("digits-cnn"), torch.device("cpu"))


def shared_storage() -> dict[str, torch.Tensor]:
    whole = torch.arange(12.0)
    return {
        "whole": whole,
        "turned": whole.view(3, 4).t(),
        "part": whole[5:9:2],
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(3, dtype=torch.int64),
        "half": torch.tensor([[1.5, torch.nan]], dtype=torch.bfloat16),
    }


@pytest.mark.parametrize(("zipped", "contents"), [(True, archive_contents), (False, legacy_contents)])
def test_views_of_one_storage_are_read_as_torch_reads_them(
    zipped: bool, contents: Callable[[Path], AbstractContextManager[Contents]], tmp_path: Path
) -> None:
    torch.save(shared_storage(), path := tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    with contents(path) as found:
        read = {key: found.tensor(note) for key, note in found.content.items()}
        assert read["turned"].data_ptr() == read["whole"].data_ptr(), "a storage is read once"
    assert found.skipped == {}
    for key, expected in torch.load(path).items():
        assert read[key].stride() == expected.stride()
        torch.testing.assert_close(read[key], expected, rtol=0, atol=0, equal_nan=True)


def test_a_pickle_of_others_is_told_from_a_file_of_torch(tmp_path: Path) -> None:
    (path := tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": Path("x")}))
    with pytest.raises(NoTorchFileError, match=r"^pathlib\S*Path$"), legacy_contents(path):
        pass
    path.write_bytes(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.")  # the right number, and nothing behind it
    with pytest.raises(EOFError), legacy_contents(path):
        pass


@pytest.mark.parametrize("change", [b"\x05", b"\xff", b"\0"])
def test_a_count_that_is_not_the_storages_is_refused(change: bytes, tmp_path: Path) -> None:
    """The count before the numbers of an old file, 4 here, says something else."""
    torch.save({"w": torch.ones(4)}, path := tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    numbers = torch.ones(4).numpy().tobytes()
    assert whole.endswith(b"\x04" + bytes(7) + numbers)
    path.write_bytes(whole[:-24] + change + bytes(7) + numbers)
    with (
        pytest.raises(ValueError, match=r"storage \d+ has another size than the pickle says"),
        legacy_contents(path),
    ):
        pass
