"""Train the bundled denoiser of digits anew: `python -m benchmarks.train_denoiser --out FILE`.

The recipe is fixed, so that the same versions on the same machine give the same weights. It takes two
minutes of one core, and writes the weights and, beside them, their model card.
"""

import argparse
import math
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

import advbench
from advbench.data.batches import Batch, batches
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defenses.digits_denoiser import DigitsDenoiser, noisy
from advbench.defenses.purify import Purify
from advbench.draws.draws import Draws
from advbench.results.records import Rate
from advbench.threat.judge import predict
from benchmarks.model_card import write_with_card

SEED = 0
STEPS = 16_000
BATCH = 256
PEAK_LR = 2e-3
WEIGHT_DECAY = 0.01
NOISE: Final = (0.02, 1.0)  # in pixel units; its logarithm is uniform

_TOLD: Final = (0.05, 0.1, 0.2, 0.4)  # noise that the card tells the error at

_CARD = """# digits-denoiser

A small perceptron that estimates the clean digit behind Gaussian noise, for scikit-learn's handwritten digits
(8x8 grey, pixels in [0, 1]), bundled so that `--defense purify` works without a download. It is trained to
denoise and nothing else: no adversarial example and no classifier had a part in it.

| | |
|---|---|
| file | `{file}`, {size:.0f} kB, safetensors, SHA-256 `{digest}` |
| architecture | `advbench.defenses.digits_denoiser:DigitsDenoiser`, {parameters:,} parameters |
| takes | images `(n, 1, 8, 8)` with noise, and its deviation in pixel units, {low_noise} to {high_noise} |
| training data | {n_train:,} images of `sklearn.datasets.load_digits` (BSD-3), stratified split |
| root mean squared error on test images | {errors} |
| digits-cnn behind `purify` | {accuracy:.2%} ({count} of {n}) in one draw, [{low:.2%}, {high:.2%}] |
| recipe | {steps:,} steps, batch {batch}, weighted squared error, ln(noise) uniform, seed {seed} |
| optimizer | AdamW, weight decay {decay}, one-cycle learning rate up to {lr} |
| made by | `python -m benchmarks.train_denoiser --out {file}`, torch {torch}, advbench {advbench} |
| license | MIT |
"""


def digits(split: str) -> Batch:
    """All images of a split."""
    images = load_dataset("digits", Place(root=Path(), split=split))
    (batch,) = batches(images, range(len(images)), len(images))
    return batch


def train(seed: int = SEED, steps: int = STEPS) -> DigitsDenoiser:
    """Train the network from scratch on the training split."""
    x = digits("train").x
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DigitsDenoiser()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_LR, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps)
    low, high = map(math.log, NOISE)
    for _ in range(steps):
        clean = x[torch.randint(len(x), (BATCH,), generator=generator)]
        sigma = (low + (high - low) * torch.rand(BATCH, generator=generator)).exp()
        given = noisy(clean, sigma, torch.randn(clean.shape, generator=generator))
        loss = ((network(given, sigma) - clean).square().flatten(1).mean(1) * network.weight(sigma)).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return network.eval().requires_grad_(False)


@torch.no_grad()
def error(network: DigitsDenoiser, x: Tensor, noise: float) -> float:
    """The root mean squared error on clean images `(n, 1, 8, 8)` under noise of a deviation."""
    z = Draws(SEED, torch.arange(len(x))).normal(tuple(x.shape[1:]))
    sigma = torch.full((len(x),), noise)
    return float((network(noisy(x, sigma, z), sigma) - x).square().mean().sqrt())


@torch.no_grad()
def accuracy(network: DigitsDenoiser) -> Rate:
    """How many test images the bundled classifier gets right behind `purify`, in one draw."""
    indices, x, y = digits("test")
    purified = Purify(denoiser=network)(x, Draws(SEED, indices))
    return Rate(int((predict(advbench.load_model()(purified)) == y).sum()), len(y))


def write(network: DigitsDenoiser, path: Path) -> str:
    """Write the weights and their model card beside them; returns the card."""
    x = digits("test").x
    return write_with_card(
        network,
        path,
        _CARD,
        accuracy(network),
        low_noise=NOISE[0],
        high_noise=NOISE[1],
        n_train=len(digits("train").y),
        errors=", ".join(f"{error(network, x, noise):.3f} at noise {noise}" for noise in _TOLD),
        steps=STEPS,
        batch=BATCH,
        lr=PEAK_LR,
        decay=WEIGHT_DECAY,
        seed=SEED,
    )


def main() -> None:
    """Train, write, and print the card."""
    parser = argparse.ArgumentParser(description="Train the bundled denoiser of digits anew.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the weights (.safetensors)")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    print(write(train(), out))  # a script's result


if __name__ == "__main__":
    main()
