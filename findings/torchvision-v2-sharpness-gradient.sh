#!/usr/bin/env bash
# torchvision's v2 sharpness and hue cannot be differentiated; those of v1, with the same names, can.
#
# Versions: torchvision 0.29.2, torch 2.14.1
# Guess: v2 replaces v1 in place: same functions, same values, same gradients.
# Really: the values are the same. v2 works in place on parts of its input, and autograd refuses: hue at the forward
#   pass, sharpness only at backward, from an output that has requires_grad=True.
# Seen:
#   adjust_sharpness  v1: gradient            v2: same values, backward raises RuntimeError
#   adjust_hue        v1: gradient            v2: forward raises RuntimeError
# Hurts: attacks through a preprocessing that was moved to v2. Whoever catches the error and falls back on BPDA's
#   identity gets a weaker gradient than the one that was there before the upgrade.
# Source: torchvision/transforms/v2/functional/_color.py, line 268: view.add_(blurred_degenerate.sub_(view), ...), and
#   lines 391 and 392 for hue: h, s, v = image.unbind(dim=-3), then h.add_(hue_factor).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.2 numpy==2.4.6 pillow==13.0.0
"$work/env/bin/python" -W ignore - <<'PYTHON'
import torch
import torchvision.transforms.functional as v1
import torchvision.transforms.v2.functional as v2

torch.manual_seed(0)
image = torch.rand(3, 8, 8)


def outcome(function, amount):
    x = image.clone().requires_grad_()
    try:
        out = function(x, amount)
    except RuntimeError:
        return "forward raises RuntimeError"
    assert torch.allclose(out, function(image, amount))
    try:
        out.square().sum().backward()
    except RuntimeError:
        return "same values, backward raises RuntimeError"
    return "gradient" if x.grad.any() else "gradient zero"


expected = {
    "adjust_sharpness": "same values, backward raises RuntimeError",
    "adjust_hue": "forward raises RuntimeError",
}
for name, amount in {"adjust_sharpness": 2.0, "adjust_hue": 0.1}.items():
    old, new = getattr(v1, name), getattr(v2, name)
    assert torch.allclose(old(image, amount), new(image, amount), atol=1e-5)
    found = outcome(old, amount), outcome(new, amount)
    print(f"{name:17} v1: {found[0]:19} v2: {found[1]}")
    assert found == ("gradient", expected[name]), "changed"
PYTHON
