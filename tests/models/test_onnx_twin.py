"""A twin is kept where it computes and differentiates what the file does, and refused with figures else."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from advbench.models.onnx_file import read_onnx
from advbench.models.onnx_model import Judge
from advbench.models.onnx_twin import NoTwinError, Twin, check_readable, compared, make_twin
from tests.onnx_files import digits_file, digits_network, exported, linear_file, onnx_or_skip

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)
HERE = torch.device("cpu")
X = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(3))


class Altered(nn.Module):
    """A network that differs from another one in what it gives or in its gradient."""

    def __init__(self, network: nn.Module, *, shift: float = 0.0, sign: float = 1.0) -> None:
        super().__init__()
        self.network, self.shift, self.sign = network, shift, sign

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(x)
        return y.detach() + self.sign * (y - y.detach()) + self.shift


def judged(path: Path) -> Judge:
    return Judge(read_onnx(path), HERE)


def test_a_faithful_twin_is_kept(tmp_path: Path) -> None:
    judge = judged(path := digits_file(tmp_path / "net.onnx"))
    check_readable(judge, X)
    twin = make_twin(read_onnx(path), judge, HERE)
    comparison = compared(judge, twin, X)
    assert not twin.training
    assert (comparison.agreeing, comparison.n, comparison.straight) == (16, 16, 0)
    assert comparison.difference < 1e-5
    assert comparison.likeness is not None
    assert comparison.likeness > 0.95
    assert "16 of 16" in comparison.sentence


@pytest.mark.parametrize(
    ("shift", "sign", "message"),
    [
        (5.0, 1.0, r"output 'logits' differs by \d.*16 of 16 labels agree"),
        (0.0, 0.0, "gradient of output 'logits' is zero, unlike"),
        (0.0, -1.0, r"gradient of output 'logits' is -\d"),
    ],
)
def test_one_that_differs_is_refused_with_figures(
    tmp_path: Path, shift: float, sign: float, message: str
) -> None:
    judge = judged(digits_file(tmp_path / "net.onnx"))
    network = Altered(digits_network(), shift=shift, sign=sign)
    with pytest.raises(NoTwinError, match=message):
        compared(judge, Twin(network, judge.interface, 0, 0), X)


class Coarse(nn.Module):
    """Pixels of 16 levels, straight through, before a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(x + ((x * 15).round() / 15 - x).detach())
        return y


def test_a_straight_through_function_gets_its_gradient_back(tmp_path: Path) -> None:
    path = exported(tmp_path / "net.onnx", Coarse(digits_network()), X)
    judge = judged(path)
    twin = make_twin(read_onnx(path), judge, HERE)
    comparison = compared(judge, twin, X)
    assert comparison.straight == 1
    assert comparison.agreeing == comparison.n


@pytest.mark.parametrize("per_channel", [False, True])
def test_quantisers_are_passed_straight_through(tmp_path: Path, per_channel: bool) -> None:
    path = digits_file(tmp_path / "net.onnx")
    quantization = pytest.importorskip("onnxruntime.quantization")
    batches = iter([{"x": torch.rand(16, 1, 8, 8).numpy()} for _ in range(4)])

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]  # untyped
        def get_next(self) -> object:
            return next(batches, None)

    quantised = tmp_path / "qdq.onnx"
    form = quantization.QuantFormat.QDQ
    quantization.quantize_static(str(path), str(quantised), Reader(), form, per_channel=per_channel)
    judge = judged(quantised)
    comparison = compared(judge, make_twin(read_onnx(quantised), judge, HERE), X)
    assert comparison.straight > 4
    assert comparison.agreeing >= 15
    assert comparison.likeness is not None
    assert "straight through" in comparison.sentence


def test_an_operator_without_a_converter_is_named(tmp_path: Path) -> None:
    onnx = onnx_or_skip()
    nodes = [
        onnx.helper.make_node("Flatten", ["x"], ["rows"]),
        onnx.helper.make_node("QuickGelu", ["rows"], ["flat"], domain="com.microsoft"),
    ]
    path = linear_file(tmp_path / "net.onnx", nodes)
    model = onnx.load(str(path))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, str(path))
    with pytest.raises(NoTwinError, match="QuickGelu"):
        make_twin(read_onnx(path), judged(path), HERE)
