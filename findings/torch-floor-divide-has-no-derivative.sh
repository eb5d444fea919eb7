#!/usr/bin/env bash
# torch: `x // step` cannot be differentiated, `torch.div(x, step, rounding_mode="floor")` can.
#
# Versions: torch 2.13.0
# Guess: the three spellings of a floored division are one function, whose derivative is zero as that of floor is.
# Really: `//` (floor_divide) records a node that raises in the backward pass, long after a forward pass that looked sound
#   and whose result says that it requires a gradient. heaviside does the same; sign, round and trunc give zero.
# Seen:
#   x // 0.25                                   raises: derivative for aten::floor_divide is not implemented
#   torch.div(x, 0.25, rounding_mode="floor")   gradient 0
#   torch.floor(x / 0.25)                       gradient 0
#   torch.heaviside(x - 0.5, 1)                 raises: derivative for aten::heaviside is not implemented
#   torch.sign(x - 0.5)                         gradient 0
# Hurts: whoever attacks a quantiser written as `x // step * step`: the attack dies with an error about the network, where
#   the same quantiser in other words gives a zero gradient; a tool that takes the error for "cannot be attacked" reports
#   robustness. A rewrite from `//` to `torch.div` turns an error into a silently shattered gradient.
# Source: tools/autograd/derivatives.yaml has no entry for floor_divide, and div.Tensor_mode gives zeros where it rounds.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$work/env/bin/python" -W ignore - <<'PYTHON'
import torch

ways = {
    "x // 0.25": lambda x: x // 0.25,
    'torch.div(x, 0.25, rounding_mode="floor")': lambda x: torch.div(x, 0.25, rounding_mode="floor"),
    "torch.floor(x / 0.25)": lambda x: torch.floor(x / 0.25),
    "torch.heaviside(x - 0.5, 1)": lambda x: torch.heaviside(x - 0.5, torch.ones(())),
    "torch.sign(x - 0.5)": lambda x: torch.sign(x - 0.5),
}
raised = []
for name, way in ways.items():
    x = torch.tensor([0.1, 0.4, 0.9], requires_grad=True)
    y = way(x)
    assert y.requires_grad
    try:
        y.sum().backward()
        print(f"{name:<43} gradient {x.grad.abs().max():g}")
        assert not x.grad.any()
    except RuntimeError as error:
        print(f"{name:<43} raises: {error}")
        raised.append(name)
assert raised == ["x // 0.25", "torch.heaviside(x - 0.5, 1)"], "changed: " + ", ".join(raised)
PYTHON
