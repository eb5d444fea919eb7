"""ONNX files made by onnx's own helpers; without onnx, onnxruntime or onnx2pytorch their tests skip."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from advbench.models.digits_cnn import DigitsCNN
from advbench.models.network import bundled_weights
from advbench.names.grammar import parse_spec

REASON = "{} is not installed: pip install 'advbench[onnx]'"


def onnx_or_skip() -> Any:
    """Onnx, where all of the extra is installed."""
    for name in ("onnxruntime", "onnx2pytorch"):
        pytest.importorskip(name, reason=REASON.format(name))
    return pytest.importorskip("onnx", reason=REASON.format("onnx"))


def digits_network() -> nn.Module:
    """The bundled CNN with its weights, in eval mode."""
    network = DigitsCNN().eval()
    weights = bundled_weights(parse_spec("digits-cnn"))
    assert weights is not None
    network.load_state_dict(load_file(weights))
    return network


def exported(
    path: Path,
    network: nn.Module,
    x: torch.Tensor,
    *,
    dynamic: bool = True,
    names: Sequence[str] = ("logits",),
) -> Path:
    """A network in a file, as torch's older exporter writes it."""
    onnx_or_skip()
    axes = {"x": {0: "n"}} if dynamic else None
    torch.onnx.export(
        network, (x,), str(path), dynamo=False, input_names=["x"], output_names=list(names), dynamic_axes=axes
    )
    return path


def digits_file(path: Path, *, dynamic: bool = True, images: int = 2) -> Path:
    """The bundled CNN in a file."""
    return exported(path, digits_network(), torch.rand(images, 1, 8, 8), dynamic=dynamic)


def linear_file(path: Path, nodes: Sequence[Any] = (), *, shape: Sequence[Any] = ("n", 1, 2, 2)) -> Path:
    """A file of given operators from `x` to `flat`, then a linear layer of 4 pixels to 3 logits."""
    onnx = onnx_or_skip()
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.arange(12, dtype=np.float32).reshape(4, 3) / 10 - 0.5
    before = list(nodes) or [helper.make_node("Flatten", ["x"], ["flat"])]
    graph = helper.make_graph(
        [*before, helper.make_node("MatMul", ["flat", "w"], ["logits"])],
        "net",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info("logits", kind, [shape[0], 3])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own.domain", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    return path
