#!/usr/bin/env bash
# kornia's equalize and posterize pass a gradient on that is exactly 0; equalize_clahe cuts the graph.
#
# Versions: kornia 0.9.0, torch 2.13.0
# Guess: kornia is a differentiable library: a step of it that cannot be differentiated either raises, gives a
#   straight-through gradient, or has an output that asks for none.
# Really: three outcomes for three functions of one module, and none of them says anything.
# Seen (sum of absolute gradients of the output's sum):
#   solarize        requires_grad True   gradient 3072
#   equalize        requires_grad True   gradient 0
#   posterize       requires_grad True   gradient 0
#   equalize_clahe  requires_grad False
# Hurts: attacks through kornia preprocessing. requires_grad=True is the usual test for "no BPDA needed"; here an attack
#   runs all its steps on zeros and reports the defense as robust.
# Source: kornia/enhance/adjust.py, _scale_channel_batched: index = scaled.long() and a look-up table of counts;
#   kornia/enhance/equalization.py, line 455: pixel_bins = (imgs * 255).long().
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 packaging==25.0
"$work/env/bin/pip" install --quiet --no-deps kornia==0.9.0 kornia-rs==0.2.0
"$work/env/bin/python" -W ignore - <<'PYTHON'
import torch
from kornia import enhance

torch.manual_seed(0)
image = torch.rand(1, 3, 32, 32)
found = {}
for name, function in {
    "solarize": lambda x: enhance.solarize(x, 0.5),
    "equalize": enhance.equalize,
    "posterize": lambda x: enhance.posterize(x, 4),
    "equalize_clahe": lambda x: enhance.equalize_clahe(x, grid_size=(2, 2)),
}.items():
    x = image.clone().requires_grad_()
    out = function(x)
    if out.requires_grad:
        out.sum().backward()
        found[name] = x.grad.abs().sum().item()
        print(f"{name:15} requires_grad True   gradient {found[name]:.0f}")
    else:
        print(f"{name:15} requires_grad False")
assert found["solarize"] > 0
assert found["equalize"] == found["posterize"] == 0 and "equalize_clahe" not in found, "changed"
PYTHON
