"""A small adversarially trained network for MNIST, on which attacks are cheap and overhead shows.

    python -m benchmarks.small_mnist_cnn --data-root data/mnist --out small-mnist-cnn.safetensors

Two strided convolutions and two linear layers, 166,406 parameters, trained by FGSM from a random start
with a learning rate that rises and falls (Wong, Rice, Kolter 2020, "Fast is better than free", section 4):
eps 0.3, step 1.25 eps, six epochs. `advbench attack --model benchmarks/small_mnist_cnn.py:small_cnn` loads
it.
"""

import argparse
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.data.batches import batches
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.threat.norms import project_linf, uniform_linf

EPS = 0.3
STEP = 1.25 * EPS
EPOCHS = 6
BATCH = 100
PEAK_LR = 5e-3
WARM = 0.4  # of the steps, in which the learning rate rises
SEED = 0


def small_cnn() -> nn.Sequential:
    """The network, pixels in [0, 1] `(n, 1, 28, 28)` to logits `(n, 10)`, untrained."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def train(x: Tensor, y: Tensor) -> nn.Sequential:
    """The network after its epochs on images `(n, 1, 28, 28)` and labels `(n,)`; three minutes of a core."""
    torch.manual_seed(SEED)
    generator, network = torch.Generator().manual_seed(SEED), small_cnn()
    optimizer = torch.optim.Adam(network.parameters(), lr=PEAK_LR)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _height(step / steps))
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(x), generator=generator), BATCH):
            x_adv = fgsm_from_random_start(network, x[rows], y[rows], generator)
            loss = F.cross_entropy(network(x_adv), y[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()


def _height(passed: float) -> float:
    """The learning rate in parts of its peak, after a share of the steps."""
    return passed / WARM if passed < WARM else (1.0 - passed) / (1.0 - WARM)


def fgsm_from_random_start(model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """One step of the sign of the gradient from a random point of the ball, then back into ball and box."""
    start = (x + uniform_linf(torch.rand(x.shape, generator=generator), EPS)).clamp(0.0, 1.0)
    start.requires_grad_()
    (grad,) = torch.autograd.grad(F.cross_entropy(model(start), y), start)
    return project_linf(start.detach() + STEP * grad.sign(), x, EPS)


def main() -> None:
    """Train, and write the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True, help="folder of MNIST")
    parser.add_argument("--out", type=Path, required=True, help="where to write the weights (.safetensors)")
    words = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset("mnist", Place(root=words.data_root, split="train"))
    (images,) = batches(data, range(len(data)), len(data))
    safetensors.torch.save_file(train(images.x, images.y).state_dict(), words.out)


if __name__ == "__main__":
    main()
