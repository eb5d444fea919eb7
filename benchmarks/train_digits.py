"""Train the bundled digits model anew: `python -m benchmarks.train_digits --out FILE`.

The recipe is fixed, so that the same versions on the same machine give the same weights; elsewhere the
accuracy agrees within its interval. It writes the weights and, beside them, their model card.
"""

import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from advbench.data.batches import batches
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.models.digits_cnn import DigitsCNN
from advbench.results.records import Rate
from advbench.threat.judge import predict
from benchmarks.model_card import write_with_card

SEED = 0
EPOCHS = 40
BATCH = 64
PEAK_LR = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
SHIFT = 1  # pixels

_CARD = """# digits-cnn

A small convolutional network with BatchNorm for scikit-learn's handwritten digits (8x8 grey, pixels in
[0, 1], no normalisation), bundled so that the first command works without a download. It is an ordinary,
undefended classifier: any attack should defeat it.

| | |
|---|---|
| file | `{file}`, {size:.0f} kB, safetensors, SHA-256 `{digest}` |
| architecture | `advbench.models.digits_cnn:DigitsCNN`, {parameters:,} parameters |
| training data | {n_train:,} images of `sklearn.datasets.load_digits` (BSD-3), stratified split |
| test accuracy | {accuracy:.2%} ({count} of {n}), 95 % interval [{low:.2%}, {high:.2%}] |
| recipe | {epochs} epochs, batch {batch}, random shifts by {shift} pixel, seed {seed} |
| optimizer | SGD, Nesterov momentum {momentum}, weight decay {decay}, one-cycle learning rate up to {lr} |
| made by | `python -m benchmarks.train_digits --out {file}`, torch {torch}, advbench {advbench} |
| license | MIT |
"""


def train(seed: int = SEED, epochs: int = EPOCHS) -> DigitsCNN:
    """Train the network from scratch on the training split; a few seconds on a CPU."""
    (data,) = batches(
        split := load_dataset("digits", Place(root=Path(), split="train")), range(len(split)), len(split)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DigitsCNN()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=PEAK_LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    steps = epochs * math.ceil(len(data.y) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(data.y), generator=generator)
        for rows in torch.utils.data.BatchSampler(order.tolist(), BATCH, drop_last=False):
            loss = F.cross_entropy(network(_shifted(data.x[rows], generator)), data.y[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()


def _shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Move a batch by up to `SHIFT` pixels, filling with background."""
    down, right = torch.randint(0, 2 * SHIFT + 1, (2,), generator=generator).tolist()
    return F.pad(x, (SHIFT,) * 4)[:, :, down : down + x.shape[2], right : right + x.shape[3]]


@torch.no_grad()
def accuracy(network: DigitsCNN) -> Rate:
    """How many test images the network classifies correctly."""
    split = load_dataset("digits", Place(root=Path(), split="test"))
    (data,) = batches(split, range(len(split)), len(split))
    return Rate(int((predict(network(data.x)) == data.y).sum()), len(data.y))


def write(network: DigitsCNN, path: Path) -> str:
    """Write the weights and their model card beside them; returns the card."""
    return write_with_card(
        network,
        path,
        _CARD,
        accuracy(network),
        n_train=len(load_dataset("digits", Place(root=Path(), split="train"))),
        epochs=EPOCHS,
        batch=BATCH,
        momentum=MOMENTUM,
        lr=PEAK_LR,
        decay=WEIGHT_DECAY,
        shift=SHIFT,
        seed=SEED,
    )


def main() -> None:
    """Train, write, and print the card."""
    parser = argparse.ArgumentParser(description="Train the bundled digits model anew.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the weights (.safetensors)")
    print(write(train(), parser.parse_args().out))  # a script's result


if __name__ == "__main__":
    main()
