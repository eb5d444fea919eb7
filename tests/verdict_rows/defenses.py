"""What stands before, inside or behind the networks of the rows; none of it comes from the package."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .networks import network, training_images


def levels(x: Tensor, count: int = 3) -> Tensor:
    """Pixels to the nearest of few levels; the gradient is zero."""
    return (x * (count - 1)).round() / (count - 1)


def dark_or_bright(x: Tensor) -> Tensor:
    """Two levels by a choice, which has no gradient."""
    return torch.where(x > 0.5, torch.ones_like(x), torch.zeros_like(x))


def steep(x: Tensor) -> Tensor:
    """A ramp so steep that its clamp hides nearly every pixel's gradient."""
    return (40 * (x - 0.5) + 0.5).clamp(0, 1)


def through_half(x: Tensor) -> Tensor:
    """A round trip through 16 bits, which autograd follows."""
    return x.half().float()


def shrunk_and_grown(x: Tensor) -> Tensor:
    """Down to 6 x 6 pixels and back."""
    small = F.interpolate(x, size=(6, 6), mode="bilinear", antialias=True)
    return F.interpolate(small, size=x.shape[2:], mode="bilinear")


def median_of_rows(x: Tensor) -> Tensor:
    """The median of each pixel and its neighbours to the left and the right, by sorting."""
    wide = F.pad(x, (1, 1, 0, 0), mode="replicate")
    return torch.stack([wide[..., :-2], x, wide[..., 2:]]).sort(dim=0).values[1]


def nothing_before(x: Tensor) -> Tensor:
    """The image as it is, through NumPy, which autograd cannot follow."""
    return torch.from_numpy(np.asarray(x).copy())


def coarse_cosines(x: Tensor) -> Tensor:
    """Coefficients of an orthogonal transform, rounded in NumPy."""
    grid = np.arange(8)
    basis = np.cos(np.pi * (2 * grid[None] + 1) * grid[:, None] / 16) * np.sqrt(2 / 8)
    basis[0] /= np.sqrt(2)
    coefficients = basis @ x.numpy().astype(np.float64) @ basis.T
    kept = np.round(coefficients / 0.5) * 0.5
    return torch.from_numpy(np.clip(basis.T @ kept @ basis, 0, 1)).float()


class _Noise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.sin(1e4 * x) * grads[0].abs().mean()  # noise that is a function of the image


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> Tensor:
        return -grads[0]


class _Undefined(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> Tensor:
        return torch.full_like(grads[0], torch.nan)


def noisy_gradient(x: Tensor) -> Tensor:
    """The image as it is, with noise for a gradient."""
    out: Tensor = _Noise.apply(x)
    return out


def reversed_gradient(x: Tensor) -> Tensor:
    """The image as it is, with its gradient's sign turned."""
    out: Tensor = _Reversed.apply(x)
    return out


def undefined_gradient(x: Tensor) -> Tensor:
    """The image as it is, with NaN for a gradient."""
    out: Tensor = _Undefined.apply(x)
    return out


def squared_distances(x: Tensor, points: Tensor) -> Tensor:
    """Between images `(n, ...)` and points `(m, d)`, `(n, m)`."""
    flat = x.flatten(1)
    return flat.square().sum(1, keepdim=True) - 2 * flat @ points.T + points.square().sum(1)


def retrieved(x: Tensor, sharpness: float = 60.0) -> Tensor:
    """One step of a modern Hopfield network (Ramsauer et al. 2021) with training images for memories."""
    memories = training_images()[0].flatten(1)
    weights = (-sharpness * squared_distances(x, memories)).softmax(1)
    return (weights @ memories).view_as(x)


def near_memories(x: Tensor, sharpness: float = 4.0) -> Tensor:
    """A class's score, `log sum exp(-s d^2)` over its memories: smooth where the retrieval jumps."""
    memories, y = training_images()
    near = -sharpness * squared_distances(x, memories.flatten(1))
    return torch.stack([near[:, y == label].logsumexp(1) for label in range(10)], dim=1)


def votes_of_neighbours(x: Tensor, count: int = 5) -> Tensor:
    """How many of the nearest training images are of each class; a count has no gradient."""
    memories, y = training_images()
    nearest = squared_distances(x, memories.flatten(1)).topk(count, largest=False).indices
    return F.one_hot(y[nearest], 10).sum(1).float() + 0.0 * x.flatten(1).sum(1, keepdim=True)


def nearest_prototype(x: Tensor) -> Tensor:
    """Minus the distance to each class's mean, cubed and squashed until little of it is left."""
    memories, y = training_images()
    means = torch.stack([memories[y == label].mean(0).flatten() for label in range(10)])
    return torch.exp(-8 * squared_distances(x, means))


def bent(logits: Tensor, period: float = 12.0) -> Tensor:
    """The margin bent along a sine, so that the loss falls where it should rise (Chen et al. 2022, AAA).

    No label changes: the largest logit is put at the runner-up plus the bent margin, which stays positive.
    """
    top = logits.topk(2, dim=1)
    gap = top.values[:, :1] - top.values[:, 1:]
    middle = (torch.floor(gap / period) + 0.5) * period
    wave = middle - 0.7 * period * torch.sin(torch.pi * (1 - 2 * (gap - middle) / period))
    return logits.scatter(1, top.indices[:, :1], top.values[:, 1:] + wave.clamp(min=0.05))


def one_vote(logits: Tensor) -> Tensor:
    """A vote for the largest logit; in the graph, with a zero gradient."""
    return F.one_hot(logits.argmax(1), logits.shape[1]).float() + 0.0 * logits


def rounded_logits(logits: Tensor) -> Tensor:
    """Logits in steps of 2, with a grain of themselves so that ties stay broken."""
    return (logits / 2).round() * 2 + 1e-3 * logits.detach()


def hundredfold(logits: Tensor) -> Tensor:
    """Logits that saturate the cross-entropy."""
    return 100 * logits


class CodedPixels(nn.Module):
    """Each pixel as the one-hot code of its nearest level, then a linear read-out back to the level."""

    def forward(self, x: Tensor) -> Tensor:
        """`(n, 1, 8, 8)` to the same."""
        centres = torch.linspace(0, 1, 3)
        code = F.one_hot((x[..., None] - centres).abs().argmin(-1), 3).float()
        return (code * centres).sum(-1) + 0.0 * x


class EitherOne(nn.Module):
    """One of two networks at each call, by the process's generator."""

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        chosen = self.one if float(torch.rand(())) < 0.5 else self.other
        logits: Tensor = chosen(x)
        return logits


class OfItsBatch(nn.Module):
    """Features normalised by those of the batch, as BatchNorm left in training mode does."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network("mlp")

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        scaled = (x - x.mean(0)) / (x.std(0, correction=0) + 0.1)
        logits: Tensor = self.network(0.3 * scaled + 0.3)
        return logits


class Purified(nn.Module):
    """Moves the image up its own confidence before it is classified (Alfarra et al. 2022).

    Args:
        network: pixels to logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            logits = self.network(z)
            (grad,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(1), reduction="sum"), z)
        out: Tensor = self.network((x - 0.15 * grad.sign()).clamp(0, 1))
        return out


def autoencoder() -> nn.Module:
    """Takes noise off an image; smooth, so that autograd follows it."""
    torch.manual_seed(2)
    x, _ = training_images(1000)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 24),
        nn.Tanh(),
        nn.Linear(24, 64),
        nn.Sigmoid(),
        nn.Unflatten(1, (1, 8, 8)),
    )
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(400):
        rows = torch.randint(len(x), (128,))
        loss = F.mse_loss(model(x[rows] + 0.2 * torch.randn_like(x[rows])), x[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return model.eval()


def few_bits(network_of: Callable[[], nn.Module], bits: int = 3) -> nn.Module:
    """A copy whose weights are of a few bits; its gradient is right."""
    model = copy.deepcopy(network_of())
    with torch.no_grad():
        for weight in model.parameters():
            scale = weight.abs().amax() / 2 ** (bits - 1)
            weight.copy_((weight / scale).round() * scale)
    return model
