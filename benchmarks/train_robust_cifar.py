"""An adversarially trained ResNet-20 for CIFAR-10, to measure attacks on; goes on where it was stopped.

    python -m benchmarks.train_robust_cifar --data-root data/cifar10-jpeg --out robust-resnet20.safetensors

FGSM from a random start with a one-cycle learning rate (Wong, Rice, Kolter 2020, "Fast is better than
free", section 4): eps 8/255, step 1.25 eps. After each epoch PGD-10 on 500 training images tells whether
the network has learned to fool FGSM alone, which this training sometimes ends in.
"""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Normalized, Threat, evaluate
from advbench.attacks import PGD
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.models.registry import MODELS
from advbench.models.resnet_cifar import resnet20

EPS = 8 / 255
STEP = 1.25 * EPS
EPOCHS = 15
BATCH = 128
PEAK_LR = 0.15
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
CROP = 4  # pixels
SEED = 0


class Training(NamedTuple):
    """What one epoch after the other changes."""

    model: Normalized
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    generator: torch.Generator


def read_images(root: Path) -> tuple[Tensor, Tensor]:
    """The training images `(n, 3, 32, 32)` uint8 and their labels, all in memory."""
    folder = load_dataset("imagefolder", Place(root=root, split="train"))
    x = torch.stack([folder[i][0].mul(255).round().to(torch.uint8) for i in range(len(folder))])
    return x, torch.from_numpy(folder.labels)


def start(steps: int) -> Training:
    """A new network and what trains it."""
    torch.manual_seed(SEED)
    entry = MODELS["resnet20"]
    assert entry.normalization is not None
    model = Normalized(resnet20(), entry.normalization.mean, entry.normalization.std)
    optimizer = torch.optim.SGD(model.parameters(), lr=PEAK_LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps, pct_start=0.4)
    return Training(model, optimizer, schedule, torch.Generator().manual_seed(SEED))


def train_epoch(training: Training, images: Tensor, labels: Tensor) -> None:
    """One pass over the training images."""
    training.model.train()
    order = torch.randperm(len(labels), generator=training.generator)
    for rows in torch.utils.data.BatchSampler(order.tolist(), BATCH, drop_last=False):
        x, y = augmented(images[rows], training.generator), labels[rows]
        x_adv = fgsm_from_random_start(training.model, x, y, training.generator)
        loss = F.cross_entropy(training.model(x_adv), y)
        training.optimizer.zero_grad()
        torch.autograd.backward(loss)
        training.optimizer.step()
        training.schedule.step()


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random crops after padding, and random flips; pixels in [0, 1]."""
    x = F.pad(images.float() / 255, (CROP,) * 4)
    down, right = torch.randint(0, 2 * CROP + 1, (2, len(x)), generator=generator)
    rows = down[:, None] + torch.arange(32)
    columns = right[:, None] + torch.arange(32)
    flip = torch.rand(len(x), generator=generator) < 0.5
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    image = torch.arange(len(x))[:, None, None, None]
    return x[image, torch.arange(3)[None, :, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def fgsm_from_random_start(model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """One step of the sign of the gradient from a random point of the ball, then back into ball and box."""
    delta = (torch.rand(x.shape, generator=generator) * 2 - 1) * EPS
    x_adv = (x + delta).clamp(0, 1).requires_grad_()
    (grad,) = torch.autograd.grad(F.cross_entropy(model(x_adv), y), x_adv)
    return (x + (x_adv.detach() - x + STEP * grad.sign()).clamp(-EPS, EPS)).clamp(0, 1)


def accuracies(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Clean and PGD-10 accuracy of some images."""
    data = TensorDataset(images.float() / 255, labels)
    evaluation = evaluate(
        model, data, threat=Threat("linf", EPS), attacks={"pgd": PGD(steps=10)}, batch_size=128
    )
    rates = evaluation.rows[0].rates
    return rates["clean"].accuracy, rates["shattered"].accuracy


def main() -> None:
    """Train, and write the weights in half precision."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True, help="folder with train/<class>/*.jpg")
    parser.add_argument("--out", type=Path, required=True, help="where to write the weights (.safetensors)")
    given = parser.parse_args()
    images, labels = read_images(given.data_root)
    held = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SEED))[:500]
    training = start(EPOCHS * math.ceil(len(labels) / BATCH))
    state = given.out.with_suffix(".state")
    first = resume(training, state)
    for epoch in range(first, EPOCHS):
        train_epoch(training, images, labels)
        clean, robust = accuracies(training.model, images[held], labels[held])
        print(f"epoch {epoch + 1} of {EPOCHS}: clean {clean:.1%}, PGD-10 {robust:.1%}", flush=True)
        keep(training, epoch + 1, state)
    weights = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in training.model.network.state_dict().items()
    }
    safetensors.torch.save_file(weights, given.out)


def keep(training: Training, epochs: int, path: Path) -> None:
    """Write everything that going on needs."""
    parts = {name: part.state_dict() for name, part in training._asdict().items() if name != "generator"}
    partial = path.with_suffix(".partial")
    torch.save({**parts, "generator": training.generator.get_state(), "epochs": epochs}, partial)
    partial.replace(path)


def resume(training: Training, path: Path) -> int:
    """Take over an earlier start; returns how many epochs it has done."""
    if not path.exists():
        return 0
    kept = torch.load(path, weights_only=True)
    for name in ("model", "optimizer", "schedule"):
        getattr(training, name).load_state_dict(kept[name])
    training.generator.set_state(kept["generator"])
    return int(kept["epochs"])


if __name__ == "__main__":
    main()
