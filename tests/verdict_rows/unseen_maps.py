"""What stands before the networks of the unseen rows, and what takes the place of a network there."""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn

from benchmarks.gallery import TRAINED_ON, digits

from .networks import network


def smoothed_in_steps(x: Tensor) -> Tensor:
    """Eight steps down the total variation, each kept near the image; autograd follows."""
    out = x
    for _ in range(8):
        right = F.pad(out[..., 1:] - out[..., :-1], (0, 1))
        down = F.pad(out[..., 1:, :] - out[..., :-1, :], (0, 0, 0, 1))
        size = (right.square() + down.square() + 1e-2).sqrt()
        right, down = right / size, down / size
        spread = right - F.pad(right[..., :-1], (1, 0)) + down - F.pad(down[..., :-1, :], (0, 0, 1, 0))
        out = out + 0.015 * spread + 0.1 * (x - out)
    return out


class Forest(nn.Module):
    """A random forest on the pixels, as scikit-learn has it; its graph has a gradient of zero."""

    def __init__(self) -> None:
        super().__init__()
        x, y = digits()
        self.trees = RandomForestClassifier(50, random_state=0)
        self.trees.fit(x[:TRAINED_ON].flatten(1).numpy(), y[:TRAINED_ON].numpy())

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to the share of trees a class."""
        votes = self.trees.predict_proba(x.detach().flatten(1).numpy())
        return torch.from_numpy(votes).float() + 0.0 * x.flatten(1).sum(1, keepdim=True)


@cache
def forest() -> Forest:
    """The forest, grown."""
    return Forest()


@cache
def like_the_forest() -> nn.Module:
    """Layers that answer as the forest does, on images with noise."""
    torch.manual_seed(0)
    model, (x, _) = network_of_layers(), digits()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(30):
        for rows in torch.randperm(TRAINED_ON).view(-1, 100):
            images = (x[rows] + 0.15 * (2 * torch.rand_like(x[rows]) - 1)).clamp(0, 1)
            loss = F.cross_entropy(model(images), forest()(images))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return model.eval()


def network_of_layers() -> nn.Module:
    """Two wide layers, untrained."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )


def ranks(x: Tensor) -> Tensor:
    """How many pixels are darker than each, as a share; a count has no gradient."""
    flat = x.flatten(1)
    return ((flat[:, :, None] > flat[:, None]).float().mean(2) + 0.0 * flat).view_as(x)


def soft_ranks(x: Tensor) -> Tensor:
    """The same with a slope for each comparison."""
    flat = x.flatten(1)
    return torch.sigmoid(20 * (flat[:, :, None] - flat[:, None])).mean(2).view_as(x)


_DIRECTIONS = torch.randn((64, 256), generator=torch.Generator().manual_seed(7))


def hashed(x: Tensor) -> Tensor:
    """On which side of each of 256 planes an image lies: bits, as an image of 16 x 16."""
    return torch.sign((x.flatten(1) - 0.3) @ _DIRECTIONS).view(-1, 1, 16, 16)


def softly_hashed(x: Tensor) -> Tensor:
    """The same with a slope."""
    return torch.tanh((x.flatten(1) - 0.3) @ _DIRECTIONS).view(-1, 1, 16, 16)


def _reading_bits() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


@cache
def trained_behind(before: Callable[[Tensor], Tensor], *, bits: bool = False) -> nn.Module:
    """Layers that are trained on what a map makes of images."""
    torch.manual_seed(0)
    model, (x, y) = _reading_bits() if bits else network_of_layers(), digits()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    seen = before(x[:TRAINED_ON])
    for _ in range(30):
        for rows in torch.randperm(TRAINED_ON).view(-1, 100):
            loss = F.cross_entropy(model(seen[rows]), y[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return model.eval()


def rippled(x: Tensor) -> Tensor:
    """Pixels moved by at most 0.006, along a wave that turns the sign of the gradient again and again."""
    return x + 0.006 * torch.sin(500 * x)


class Decoy(nn.Module):
    """One network's logits with the gradient of another, which nobody has trained."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(9)
        self.inner, self.decoy = inner, network_of_layers()

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        led = self.decoy(x)
        logits: Tensor = self.inner(x.detach()) + led - led.detach()
        return logits


def diffused(x: Tensor) -> Tensor:
    """Three levels, each pixel's error handed to the pixels after it (Floyd, Steinberg 1976), in NumPy."""
    whole = np.pad(x.squeeze(1).numpy().astype(np.float64), ((0, 0), (0, 1), (1, 1)))
    height, width = x.shape[2:]
    for row in range(height):
        for column in range(1, width + 1):
            old = whole[:, row, column]
            new = np.clip(np.round(2 * old) / 2, 0, 1)
            error = old - new
            whole[:, row, column] = new
            whole[:, row, column + 1] += error * 7 / 16
            whole[:, row + 1, column - 1 : column + 2] += error[:, None] * np.array([3, 5, 1]) / 16
    return torch.from_numpy(whole[:, :height, 1 : width + 1]).float()[:, None]


@cache
def _codes() -> Tensor:
    """32 patches of 2 x 2 pixels, by Lloyd's iterations."""
    blocks = F.unfold(digits()[0][:600], 2, stride=2).transpose(1, 2).reshape(-1, 4)
    codes = blocks[torch.randperm(len(blocks), generator=torch.Generator().manual_seed(3))[:32]]
    for _ in range(20):
        nearest = torch.cdist(blocks, codes).argmin(1)
        codes = torch.stack(
            [blocks[nearest == at].mean(0) if bool((nearest == at).any()) else codes[at] for at in range(32)]
        )
    return codes


def coded_patches(x: Tensor) -> Tensor:
    """Each patch as the nearest of the codes; the choice has no gradient."""
    blocks = F.unfold(x, 2, stride=2).transpose(1, 2)
    chosen = _codes()[torch.cdist(blocks, _codes()).argmin(2)] + 0.0 * blocks
    return F.fold(chosen.transpose(1, 2), x.shape[2:], 2, stride=2)


def softly_coded_patches(x: Tensor) -> Tensor:
    """Each patch as a mean of the codes, the nearer the more."""
    blocks = F.unfold(x, 2, stride=2).transpose(1, 2)
    chosen = (-20 * torch.cdist(blocks, _codes()).square()).softmax(2) @ _codes()
    return F.fold(chosen.transpose(1, 2), x.shape[2:], 2, stride=2)


class WithNumpyNoise(nn.Module):
    """Noise from NumPy's own generator before the network."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network("bundled")
        self.generator = np.random.default_rng(0)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        logits: Tensor = self.inner(x + torch.from_numpy(self.generator.normal(0, 0.2, x.shape)).float())
        return logits


class EveryThirdCall(nn.Module):
    """Every third call sees the image a pixel further to the right."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls = network("bundled"), 0

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        self.calls += 1
        logits: Tensor = self.inner(x.roll(1, 3) if self.calls % 3 == 0 else x)
        return logits


class Remembering(nn.Module):
    """Takes off a mean of all images that it was shown so far."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.mean = network("bundled"), torch.full((1, 8, 8), 0.3)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        self.mean = 0.7 * self.mean + 0.3 * x.detach().mean(0)
        logits: Tensor = self.inner((x - self.mean + 0.3).clamp(0, 1))
        return logits


def inverted(x: Tensor) -> Tensor:
    """Black for white."""
    return 1 - x
