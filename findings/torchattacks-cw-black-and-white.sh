#!/usr/bin/env bash
# torchattacks' CW can never change a pixel that is exactly 0 or 1.
#
# Versions: torchattacks 3.5.1, torch 2.13.0
# Guess: CW's change of variables, x = (tanh(w) + 1) / 2, shrinks pixels a little first, as in the paper's code, so
#   that black and white pixels can move like any other.
# Really: it doesn't. 0 and 1 become w = -inf and inf; there tanh has slope 0, and -inf less any step is -inf.
# Seen (a random linear network, c=10, 200 steps):
#   black and white  success 0.00, largest change 0.0000
#   0.001 and 0.999  success 1.00, largest change 0.7155
# Hurts: whoever runs CW on MNIST, on scans or line art, or on anything with saturated pixels. Of MNIST's pixels four in
#   five are 0: CW attacks the others alone and reports a needlessly large distance, or none.
# Source: torchattacks/attacks/cw.py, lines 124 and 127: clamp(x * 2 - 1, min=-1, max=1), then log((1 + x) / (1 - x)).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 scipy==1.17.1 tqdm==4.67.1
"$work/env/bin/pip" install --quiet --no-deps torchattacks==3.5.1
"$work/env/bin/python" -W ignore - <<'PYTHON'
import torch
import torchattacks

torch.manual_seed(0)
torch.set_num_threads(1)
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
black_and_white = (torch.rand(32, 1, 8, 8) > 0.5).float()
for name, x in {"black and white": black_and_white, "0.001 and 0.999": black_and_white * 0.998 + 0.001}.items():
    y = network(x).argmax(1)
    moved = torchattacks.CW(network, c=10, steps=200, lr=0.05)(x, y)
    success = (network(moved).argmax(1) != y).float().mean().item()
    change = (moved - x).abs().max().item()
    print(f"{name}  success {success:.2f}, largest change {change:.4f}")
    if name == "black and white":
        assert success == 0 and change == 0, "changed: saturated pixels may move now"
    else:
        assert success > 0.9
PYTHON
