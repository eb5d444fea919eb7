#!/usr/bin/env bash
# A TorchScript model has another gradient from its second call on.
#
# Versions: torch 2.13.0 on the CPU (2.14.1 too, there also for clamp)
# Guess: a scripted model has the gradient of the model it was made of, and the same one at every call.
# Really: the first call runs the operators with torch's own derivatives. The second runs a graph differentiated by
#   formulas of the compiler, which decide otherwise at the bounds: hardtanh and relu6 let the gradient through there,
#   and of two equal values torch.max gives half to each in eager mode and nothing to either here.
# Seen (gradients of hardtanh at -1, 0 and 1, and of max to its two equal values):
#   eager       hardtanh [0.0, 1.0, 0.0]  max (0.5, 0.5)
#   script, 1st hardtanh [0.0, 1.0, 0.0]  max (0.5, 0.5)
#   script, 2nd hardtanh [1.0, 1.0, 1.0]  max (0.0, 0.0)
#   script, 3rd hardtanh [1.0, 1.0, 1.0]  max (0.0, 0.0)
# Hurts: attacks on .pt programs. Quantized activations, dead units and black or white pixels sit exactly at such
#   bounds, and a warm-up call decides which gradient the attack gets.
# Source: torch/csrc/jit/runtime/symbolic_script.cpp in torch's repository (its text is inside libtorch_cpu.so):
#   hardtanh has mask = (self >= min_val) * (self <= max_val), max has self > other and other > self. Eager mode goes
#   by torchgen/packaged/autograd/derivatives.yaml.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat >"$work/show.py" <<'PYTHON'
import torch


def hardtanh(x):
    return torch.nn.functional.hardtanh(x) - 0.5  # one operator alone is left to eager mode


def maximum(x, y):
    return torch.max(x, y) - 0.5


def gradients(h, m):
    at = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    x, y = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    h(at).sum().backward()
    m(x, y).sum().backward()
    return at.grad.tolist(), (x.grad.item(), y.grad.item())


scripted = torch.jit.script(hardtanh), torch.jit.script(maximum)
seen = []
for name in ("eager", "script, 1st", "script, 2nd", "script, 3rd"):
    pair = (hardtanh, maximum) if name == "eager" else scripted
    seen.append(gradients(*pair))
    print(f"{name:11} hardtanh {seen[-1][0]}  max {seen[-1][1]}")
assert seen[0] == seen[1] == ([0.0, 1.0, 0.0], (0.5, 0.5))
assert seen[2] == seen[3] == ([1.0, 1.0, 1.0], (0.0, 0.0)), "changed: the calls may agree now"
PYTHON
"$work/env/bin/python" -W ignore "$work/show.py"
