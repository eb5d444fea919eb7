"""ONNX files are read whole or refused in one line, and only what lies beside them belongs to them."""

import hashlib
from pathlib import Path

import pytest

from advbench.errors import CheckpointError, InputError
from advbench.models import onnx_file
from advbench.models.hub import digest_of
from advbench.models.onnx_file import digest_of_onnx, names_onnx, read_onnx
from tests.onnx_files import linear_file, onnx_or_skip


def test_a_name_is_a_files_by_its_ending() -> None:
    assert names_onnx("a/b.ONNX")
    assert not names_onnx("onnx")


def test_a_file_tells_its_opset_and_its_digest(tmp_path: Path) -> None:
    file = read_onnx(linear_file(tmp_path / "net.onnx"))
    assert file.record["opset"]["ai.onnx"] == 18
    assert file.digest == hashlib.sha256(file.path.read_bytes()).hexdigest() == digest_of(file.path)


def test_external_weights_belong_to_the_digest_and_must_be_there(tmp_path: Path) -> None:
    onnx = onnx_or_skip()
    path = linear_file(tmp_path / "net.onnx")
    onnx.save(onnx.load(str(path)), str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    before = digest_of_onnx(path)
    assert [part.name for part in read_onnx(path).external] == ["w.bin"]
    weights = tmp_path / "w.bin"
    contents = weights.read_bytes()
    weights.write_bytes(bytes([contents[0] ^ 1]) + contents[1:])
    assert digest_of_onnx(path) != before
    weights.write_bytes(contents[:4])
    with pytest.raises(CheckpointError, match="is truncated"):
        read_onnx(path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"'w.bin' of .* are not there\. Put them beside it"):
        read_onnx(path)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/hostname", ""])
def test_external_weights_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    onnx = onnx_or_skip()
    (tmp_path / "w.bin").write_bytes(bytes(48))
    (tmp_path / "in").mkdir()
    path = linear_file(tmp_path / "in" / "net.onnx")
    model = onnx.load(str(path))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        CheckpointError, match=r"net\.onnx is refused: its external .* lie outside its folder"
    ):
        read_onnx(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("offset", "x", "external weights, 'x' is no number of bytes"),
        ("length", "9" * 5000, "w.bin is truncated"),
        ("offset", "-1", "w.bin is truncated"),
        ("location", "w\0.bin", "is no file's name"),
    ],
)
def test_external_weights_of_no_number_or_name_are_told_in_a_line(
    tmp_path: Path, key: str, value: str, message: str
) -> None:
    onnx = onnx_or_skip()
    path = linear_file(tmp_path / "net.onnx")
    onnx.save(onnx.load(str(path)), str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    model = onnx.load(str(path), load_external_data=False)
    entries = model.graph.initializer[0].external_data
    for entry in [entry for entry in entries if entry.key == key]:
        entries.remove(entry)
    entries.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=message):
        read_onnx(path)


@pytest.mark.parametrize("cut", [0, 10, 100])
def test_a_truncated_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = linear_file(tmp_path / "net.onnx")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match=r"no ONNX model, or truncated"):
        read_onnx(path)


def test_a_tensor_that_declares_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    onnx = onnx_or_skip()
    path = linear_file(tmp_path / "net.onnx")
    model = onnx.load(str(path))
    model.graph.initializer[0].dims[0] = 1 << 40
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="declares 3,298,534,883,328 elements, and holds 48 bytes"):
        read_onnx(path)
    model.graph.initializer[0].dims[0] = -1
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="negative side"):
        read_onnx(path)


def test_graphs_that_nest_without_end_are_refused(tmp_path: Path) -> None:
    onnx_or_skip()
    message = b""
    for _ in range(300):  # ModelProto.graph > node > attribute > g > node ...
        for field in (0x32, 0x2A, 0x0A):
            message = bytes([field]) + _varint(len(message)) + message
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x08\x09\x3a" + _varint(len(message)) + message)
    with pytest.raises(CheckpointError, match="no ONNX model, or truncated or damaged"):
        read_onnx(path)


def _varint(number: int) -> bytes:
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def test_a_custom_operator_is_told_with_its_domain(tmp_path: Path) -> None:
    onnx = onnx_or_skip()
    node = onnx.helper.make_node("Strange", ["x"], ["flat"], domain="own.domain")
    with pytest.raises(CheckpointError, match=r"custom operator 'Strange' of the domain 'own\.domain'"):
        read_onnx(linear_file(tmp_path / "net.onnx", [node]))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    onnx_or_skip()
    with pytest.raises(CheckpointError, match="there is no file"):
        read_onnx(tmp_path / "none.onnx")
    with pytest.raises(CheckpointError, match="it is a folder"):
        read_onnx(tmp_path)


def test_without_onnx_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(extra: str, module: str) -> None:
        raise InputError(f"{module} is not installed: pip install 'advbench[{extra}]'")

    monkeypatch.setattr(onnx_file, "load_library", refuse)
    with pytest.raises(InputError, match=r"pip install 'advbench\[onnx\]'"):
        read_onnx(tmp_path / "net.onnx")
