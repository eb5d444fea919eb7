#!/usr/bin/env bash
# torchattacks' CW stands still where logits are negative: log-softmax outputs look robust.
#
# Versions: torchattacks 3.5.1, torch 2.13.0
# Guess: adding one constant to all logits changes no class and no probability, and so no attack by a logit margin.
# Really: CW masks logits by multiplying with 0 and then takes a maximum. The zero of the mask wins over every negative
#   logit, so that the margin is 0 - 0 and its gradient 0. PGD of the same library is not touched.
# Seen (success on 32 random images under a random linear network):
#   logits          CW 1.00  PGD 0.88
#   logits + 100    CW 1.00  PGD 0.88
#   logits - 100    CW 0.03  PGD 0.88
#   log_softmax     CW 0.03  PGD 0.88
# Hurts: whoever attacks a network that ends in log_softmax (as for NLLLoss) or with large negative logits (energies,
#   negative distances to prototypes). CW is often run as the strong attack, and its failure reads as robustness.
# Source: torchattacks/attacks/cw.py, lines 134 and 136: torch.max((1 - one_hot_labels) * outputs, dim=1)[0].
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
x = torch.rand(32, 1, 8, 8) * 0.8 + 0.1
linear = torch.nn.Linear(64, 10)


class Network(torch.nn.Module):
    def __init__(self, last):
        super().__init__()
        self.linear, self.last = linear, last

    def forward(self, x):
        return self.last(self.linear(x.flatten(1)))


y = linear(x.flatten(1)).argmax(1)
found = {}
for name, last in {
    "logits": lambda z: z,
    "logits + 100": lambda z: z + 100,
    "logits - 100": lambda z: z - 100,
    "log_softmax": lambda z: z.log_softmax(1),
}.items():
    network = Network(last).eval()
    attacks = torchattacks.CW(network, c=1, steps=100, lr=0.01), torchattacks.PGD(network)
    cw, pgd = ((network(a(x, y)).argmax(1) != y).float().mean().item() for a in attacks)
    print(f"{name:15} CW {cw:.2f}  PGD {pgd:.2f}")
    found[name] = cw
    assert pgd > 0.7
assert min(found["logits"], found["logits + 100"]) > 0.9
assert max(found["logits - 100"], found["log_softmax"]) < 0.1, "changed: the margin may be right now"
PYTHON
