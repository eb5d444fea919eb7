#!/usr/bin/env bash
# onnxruntime's CPU provider computes a float16 graph in float32 and rounds nothing between its operators.
#
# Versions: onnxruntime 1.32.0, onnx 1.23.2
# Guess: an operator without a kernel for float16 is computed in float32, between two casts, and its result is rounded to
#   float16, so that values agree with other devices up to the last bit; at least with all optimisation off.
# Really: from one such operator to the next the value stays float32. A cast to float16, an operator and a cast back lose
#   no bit, and nothing overflows beyond 65,504, with ORT_DISABLE_ALL too. A cast there and straight back does round
#   (since 1.17), so that a test of the cast alone shows nothing.
# Seen (2049 and 70000 in float32, and 250 in float16):
#   cast there and back            2048.0 inf
#   the same with Neg, Neg between 2049.0 70000.0
#   250 * 300 / 300                250.0 (numpy: inf)
# Hurts: defenses that cut precision, and float16 exports whose clean or robust accuracy is measured on a CPU: neither
#   rounding nor overflow is that of the device on which they ship.
# Source: onnxruntime/core/optimizer/insert_cast_transformer.cc; issue 11831 of microsoft/onnxruntime says that casts are
#   inserted as the CPU has no kernels, and pull request 17953 that lossy casts in a row are kept.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$work/env/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def computed(nodes, x, kind, constants=()):
    shape = list(x.shape)
    values = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0].tolist()


x = np.array([2049, 70000], np.float32)
there = helper.make_node("Cast", ["x"], ["a"], to=TensorProto.FLOAT16)
alone = [there, helper.make_node("Cast", ["a"], ["y"], to=TensorProto.FLOAT)]
between = [there, helper.make_node("Neg", ["a"], ["b"]), helper.make_node("Neg", ["b"], ["c"])]
between += [helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT)]
rounded, kept = computed(alone, x, TensorProto.FLOAT), computed(between, x, TensorProto.FLOAT)
print("cast there and back           ", *rounded)
print("the same with Neg, Neg between", *kept)

half = np.array([250], np.float16)
large = numpy_helper.from_array(np.array([300], np.float16), "large")
nodes = [helper.make_node("Mul", ["x", "large"], ["a"]), helper.make_node("Div", ["a", "large"], ["y"])]
there_and_back = computed(nodes, half, TensorProto.FLOAT16, [large])
print("250 * 300 / 300               ", *there_and_back, f"(numpy: {(half * np.float16(300) / np.float16(300))[0]})")
assert rounded == [2048, float("inf")]
assert kept == [2049, 70000], "changed: float16 may be rounded between operators now"
assert there_and_back == [250]
PYTHON
