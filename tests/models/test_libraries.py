"""Which names are a library's, and what is said where the library is not there."""

from pathlib import Path

import pytest

from advbench.errors import CheckpointError, InputError, ModelError
from advbench.models.hub import commit_of, digest_of, is_folder, weights_in
from advbench.models.libraries import attempted, load_library, member_of, names_library
from advbench.models.network import find_model
from advbench.names.grammar import parse_spec


def test_a_librarys_name_stands_before_the_colon() -> None:
    assert names_library("timm:resnet18")
    assert names_library("hf:owner/name")
    assert not names_library("resnet18")
    assert not names_library("mine.py:timm")
    assert find_model("timm:resnet18") is None


def test_a_library_that_is_not_installed_is_named_with_its_extra() -> None:
    with pytest.raises(InputError, match=r"^nosuchthing is not installed: pip install 'advbench\[timm\]'$"):
        load_library("timm", "nosuchthing.models")


def test_a_library_that_breaks_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brokenthing.py").write_text("raise OSError('no\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"^brokenthing cannot be imported: no$"):
        load_library("timm", "brokenthing")
    with pytest.raises(ModelError, match=r"^it: ZeroDivisionError: division by zero$"):
        attempted("it", lambda: 1 / 0)


def test_unknown_parameters_are_refused() -> None:
    assert member_of(parse_spec("timm:resnet18:num_classes=3"), "num_classes") == "resnet18"
    with pytest.raises(ModelError, match=r"timm:resnet18 has no parameter 'classes'\. Known: num_classes\."):
        member_of(parse_spec("timm:resnet18:classes=3"), "num_classes")


def test_weights_are_safetensors_before_pickles(tmp_path: Path) -> None:
    assert weights_in(tmp_path) is None
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    assert weights_in(tmp_path) == tmp_path / "pytorch_model.bin"
    (tmp_path / "model.safetensors").write_bytes(b"y")
    assert weights_in(tmp_path) == tmp_path / "model.safetensors"


def test_the_digest_of_an_index_is_of_the_files_that_it_lists(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "one.safetensors", "b": "one.safetensors"}}')
    with pytest.raises(CheckpointError, match="is damaged, or a file that it lists is not there"):
        digest_of(index)
    (tmp_path / "one.safetensors").write_bytes(b"1")
    before = digest_of(index)
    (tmp_path / "one.safetensors").write_bytes(b"2")
    assert digest_of(index) != before


def test_folders_are_told_from_names_of_repositories(tmp_path: Path) -> None:
    assert is_folder(str(tmp_path))
    assert is_folder("./nowhere")
    assert not is_folder("owner/name")
    assert commit_of(tmp_path / "snapshots" / "0123") == "0123"
    assert not commit_of(tmp_path)
