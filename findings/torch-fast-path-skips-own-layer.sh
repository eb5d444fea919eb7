#!/usr/bin/env bash
# A layer put into nn.TransformerEncoderLayer runs with gradients and is skipped without them.
#
# Versions: torch 2.13.0 (2.14.1 too)
# Guess: layer.linear1 = MyLinear(...) puts MyLinear.forward into every pass, whether gradients are wanted or not.
# Really: in eval mode under no_grad the layer takes a fused path, which is handed linear1.weight and linear1.bias and
#   calls no forward of linear1, linear2, norm1 or norm2. A forward hook switches that path off; a class of one's own
#   does not.
# Seen:
#   with gradients     calls of the own layer 1, distance from the undefended layer 0.16
#   under no_grad      calls of the own layer 0, distance from the undefended layer 0.00
# Hurts: a defense that lives in such a layer (noise, quantization, clipped activations). Accuracy and the check of an
#   attack's success, both under no_grad, judge the bare network; the attack has the gradients of the defended one.
# Source: torch/nn/modules/transformer.py, TransformerEncoderLayer.forward, lines 838 to 935: what is asked about the
#   submodules is bias, eps, hooks and training, never their class. torch.backends.mha.set_fastpath_enabled(False)
#   switches the path off.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$work/env/bin/python" -W ignore - <<'PYTHON'
import torch
from torch import nn


class Defended(nn.Linear):
    calls = 0

    def forward(self, x):
        Defended.calls += 1
        return super().forward(x).mul(4).round().div(4)  # coarsely quantized activations


torch.manual_seed(0)
layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True).eval()
x = torch.randn(2, 3, 8)
undefended = layer(x)
defended = Defended(8, 16)
defended.load_state_dict(layer.linear1.state_dict())
layer.linear1 = defended
seen = []
for name, mode in {"with gradients": torch.enable_grad(), "under no_grad": torch.no_grad()}.items():
    Defended.calls = 0
    with mode:
        distance = (layer(x) - undefended).norm().item()
    print(f"{name:18} calls of the own layer {Defended.calls}, distance from the undefended layer {distance:.2f}")
    seen.append((Defended.calls, distance > 1e-3))
assert seen == [(1, True), (0, False)], "changed: the fused path may ask for the class now"
PYTHON
