"""The file's answers are onnxruntime's, and the gradient beside them is the twin's."""

import copy
from pathlib import Path

import pytest
import torch

from advbench.errors import CheckpointError
from advbench.models.onnx_file import read_onnx
from advbench.models.onnx_model import CPU, Judge, OnnxModel
from advbench.models.onnx_twin import make_twin
from tests.onnx_files import digits_file, digits_network, linear_file, onnx_or_skip

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)
HERE = torch.device("cpu")


@pytest.mark.parametrize("dynamic", [True, False])
def test_answers_are_the_networks_and_the_gradient_too(tmp_path: Path, dynamic: bool) -> None:
    file = read_onnx(digits_file(tmp_path / "net.onnx", dynamic=dynamic))
    judge = Judge(file, HERE)
    model, network = OnnxModel(judge, make_twin(file, judge, HERE), HERE), digits_network()
    x = torch.rand(5, 1, 8, 8).requires_grad_()
    ours, theirs = model(x), network(x)
    assert torch.equal(ours, judge(x))
    assert torch.allclose(ours, theirs, atol=1e-4)
    (own,), (other,) = (torch.autograd.grad(y[:, 3].sum(), x) for y in (ours, theirs))
    assert torch.allclose(own, other, atol=1e-4)
    assert judge.provider == CPU
    assert not [name for name, _ in model.named_modules() if name]
    assert torch.equal(copy.deepcopy(model)(x), ours)


def test_without_a_twin_there_is_no_gradient(tmp_path: Path) -> None:
    judge = Judge(read_onnx(linear_file(tmp_path / "net.onnx")), HERE)
    assert not OnnxModel(judge, None, HERE)(torch.rand(2, 1, 2, 2).requires_grad_()).requires_grad


def test_what_onnxruntime_refuses_is_told_in_a_line(tmp_path: Path) -> None:
    onnx = onnx_or_skip()
    path = linear_file(tmp_path / "net.onnx", [onnx.helper.make_node("Nonsense", ["x"], ["flat"])])
    with pytest.raises(CheckpointError, match="onnxruntime cannot load") as caught:
        Judge(read_onnx(path), HERE)
    assert "\n" not in str(caught.value)
