#!/usr/bin/env bash
# torch.randn: with one seed, ten numbers are not the first ten of twenty.
#
# Versions: torch 2.13.0, on the CPU
# Guess: a seeded stream begins alike however many numbers are drawn of it at once, as torch.rand's and NumPy's do.
# Really: under 16 numbers randn draws one by one, from 16 on in blocks of 16 by another formula; and where the count is
#   no multiple of 16, the last 16 are drawn again at the end.
# Seen:
#   rand   10 of 20: 10 alike     17 of 32: 17 alike     an image of 3x299x299 alone or in a pair: 268203 alike
#   randn  10 of 20: 0 alike     17 of 32: 1 alike     an image of 3x299x299 alone or in a pair: 268187 alike
# Hurts: stochastic defenses compared under one seed at two batch sizes. Noise on 10 logits of one image and of a batch
#   has nothing in common; noise on images of 3x32x32 agrees, so that a test on CIFAR's shape finds nothing.
# Source: torch/include/ATen/native/cpu/DistributionTemplates.h, normal_fill, lines 169 to 193: "if (size % 16 != 0)",
#   the last 16 values are recomputed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$work/env/bin/python" -W ignore - <<'PYTHON'
import torch


def alike(draw, few, many):
    torch.manual_seed(0)
    alone = draw(few)
    torch.manual_seed(0)
    return (alone == draw(many)[:few]).sum().item()


image = 3 * 299 * 299
counts = [(10, 20), (17, 32), (image, 2 * image)]
found = {draw.__name__: [alike(draw, *c) for c in counts] for draw in (torch.rand, torch.randn)}
for name, (ten, seventeen, picture) in found.items():
    print(
        f"{name:6} 10 of 20: {ten} alike     17 of 32: {seventeen} alike     "
        f"an image of 3x299x299 alone or in a pair: {picture} alike"
    )
assert found["rand"] == [10, 17, image]
assert found["randn"][0] == 0 and found["randn"][2] == image - 16, "changed: the stream may not depend on the count now"
assert alike(torch.randn, 3 * 32 * 32, 8 * 3 * 32 * 32) == 3 * 32 * 32
PYTHON
