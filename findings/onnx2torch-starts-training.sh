#!/usr/bin/env bash
# onnx2torch hands back a network in training mode: its BatchNorm goes by the batch.
#
# Versions: onnx2torch 1.5.15, onnx 1.23.2, torch 2.14.1
# Guess: an ONNX file is an inference graph and says so (training_mode=0), so that convert() gives a network that
#   computes what the file says.
# Really: convert() builds fresh modules, and torch's modules are born in training mode. Outputs depend on the rest of
#   the batch, and each call moves the statistics that came from the file, so that .eval() afterwards is too late.
# Seen (BatchNorm with mean 0 and variance 1, that is the identity, on images around 3):
#   as converted         far from the file by 3.03
#   .eval() at once      far from the file by 0.00
#   .eval() a call later far from the file by 0.29
# Hurts: attacks on converted ONNX networks. The gradient is that of another network in which images share their fate,
#   and reading the clean accuracy once changes the network for good.
# Source: onnx2torch/node_converters/batch_norm.py, line 46: training=self.training; converter.py never calls eval().
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.2 numpy==2.4.6 pillow==13.0.0
"$work/env/bin/pip" install --quiet onnx==1.23.2 onnx2torch==1.5.15
"$work/env/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx2torch import convert

values = {"scale": 1.0, "shift": 0.0, "mean": 0.0, "variance": 1.0}
node = helper.make_node("BatchNormalization", ["x", *values], ["y"])
graph = helper.make_graph(
    [node],
    "identity",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 4, 4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 4, 4])],
    [numpy_helper.from_array(np.full(2, value, np.float32), name) for name, value in values.items()],
)
file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
torch.manual_seed(0)
x = torch.randn(8, 2, 4, 4) + 3
found = []
for name, network in {"as converted": convert(file), ".eval() at once": convert(file).eval()}.items():
    found.append((network(x) - x).abs().mean().item())
    print(f"{name:20} far from the file by {found[-1]:.2f}")
network = convert(file)
network(x)
found.append((network.eval()(x) - x).abs().mean().item())
print(f"{'.eval() a call later':20} far from the file by {found[-1]:.2f}")
assert found[1] < 1e-3, "eval mode is off, too"
assert found[0] > 1 and found[2] > 0.1, "changed: convert() may give a network in eval mode now"
PYTHON
