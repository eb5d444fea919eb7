#!/usr/bin/env bash
# From torch 2.14 on, clamp has another gradient at its bounds, and it depends on how the bounds are given.
#
# Versions: torch 2.13.0 and 2.14.1
# Guess: at a bound clamp lets the gradient through, whichever release it is, and a bound of 1.0 is the same as a bound
#   of torch.tensor(1.0).
# Really: up to 2.13 the derivative at a bound is 1. In 2.14 it is 0 for a number and a half for a tensor; fmax and fmin
#   went from 1 to a half at a tie.
# Seen (derivatives at x = 1):
#   2.13.0  clamp(0, 1) 1.0  clamp(tensor 0, tensor 1) 1.0  fmin(x, 1) 1.0  minimum(x, 1) 0.5  hardtanh 0.0
#   2.14.1  clamp(0, 1) 0.0  clamp(tensor 0, tensor 1) 0.5  fmin(x, 1) 0.5  minimum(x, 1) 0.5  hardtanh 0.0
# Hurts: networks and defenses that clamp their input to [0, 1]. Black and white pixels, and every pixel that an attack
#   has driven to its bound, lose their gradient with an upgrade: attacks get weaker, robust accuracy rises.
# Source: torchgen/packaged/autograd/derivatives.yaml of the two: clamp_min has where(self >= min, ...) in 2.13 (line
#   433) and where(self > min, ...) in 2.14 (line 430); clamp_min.Tensor and fmax now say "Split ties first".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/show.py" <<'PYTHON'
import torch

zero, one = torch.zeros(1), torch.ones(1)
seen = {}
for name, function in {
    "clamp(0, 1)": lambda x: x.clamp(0, 1),
    "clamp(tensor 0, tensor 1)": lambda x: x.clamp(zero, one),
    "fmin(x, 1)": lambda x: torch.fmin(x, one),
    "minimum(x, 1)": lambda x: torch.minimum(x, one),
    "hardtanh": torch.nn.functional.hardtanh,
}.items():
    x = torch.ones(1, requires_grad=True)
    function(x).backward()
    seen[name] = x.grad.item()
version = torch.__version__.split("+")[0]
print(version, *(f" {name} {value}" for name, value in seen.items()))
expected = {"2.13.0": [1.0, 1.0, 1.0, 0.5, 0.0], "2.14.1": [0.0, 0.5, 0.5, 0.5, 0.0]}
assert list(seen.values()) == expected[version], "changed"
PYTHON
for version in 2.13.0 2.14.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet torch==$version numpy==2.4.6
    "$work/$version/bin/python" -W ignore "$work/show.py"
    rm -rf "${work:?}/$version"
done
