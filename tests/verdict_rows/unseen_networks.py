"""Networks of the unseen rows, of other kinds than those of `networks`, and what is proved of them."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gallery import TRAINED_ON, digits, trained

from .specimens import Images


class Patches(nn.Module):
    """A transformer over patches of 2 x 2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 2, stride=2)
        self.place = nn.Parameter(0.02 * torch.randn(1, 16, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        tokens = self.stem(x).flatten(2).transpose(1, 2) + self.place
        logits: Tensor = self.head(self.body(tokens).mean(1))
        return logits


class RowByRow(nn.Module):
    """A gated recurrent network that reads the image a row at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.head = nn.GRU(8, 48, batch_first=True), nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        logits: Tensor = self.head(self.reader(x.squeeze(1))[0][:, -1])
        return logits


class Squares(nn.Module):
    """One hidden layer whose activation is the square: a polynomial of the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        logits: Tensor = self.head(self.inner(x.flatten(1)).square())
        return logits


class Flow(nn.Module):
    """Eight Euler steps of one differential equation, then a linear read-out."""

    def __init__(self) -> None:
        super().__init__()
        self.field, self.head = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        state = x.flatten(1)
        for _ in range(8):
            state = state + 0.25 * torch.tanh(self.field(state))
        logits: Tensor = self.head(state)
        return logits


class SureOrAsked(nn.Module):
    """One network where it is sure, another where it is not."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to logits."""
        log_probabilities = self.first(x).log_softmax(1)
        is_sure = log_probabilities.amax(1, keepdim=True) > -0.1
        return torch.where(is_sure, log_probabilities, self.second(x).log_softmax(1))


class QuadrantMedians(nn.Module):
    """A logit a quadrant of the image: ten times the median of its pixels, of which two are looked at."""

    def forward(self, x: Tensor) -> Tensor:
        """Pixels `(n, 1, 8, 8)` to logits `(n, 4)`."""
        quadrants = x.view(len(x), 2, 4, 2, 4).permute(0, 1, 3, 2, 4).reshape(len(x), 4, 16)
        return 10 * quadrants.sort(2).values[..., 7:9].mean(2)


def quadrant_images() -> Images:
    """One quadrant is bright, between 0.7 and 0.9, the others are dark, between 0.1 and 0.3."""
    generator = torch.Generator().manual_seed(11)
    y = torch.arange(60) % 4
    x = 0.1 + 0.2 * torch.rand((60, 1, 8, 8), generator=generator)
    for image, label in zip(x, y.tolist(), strict=True):
        down, right = 4 * (label // 2), 4 * (label % 2)
        image[0, down : down + 4, right : right + 4] += 0.6
    return x, y


class MeanOverNoise(nn.Module):
    """The mean probabilities of 16 versions of the image, each with noise that is always the same."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        noise = 0.1 * torch.randn((16, 1, 8, 8), generator=torch.Generator().manual_seed(4))
        self.register_buffer("noise", noise)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels to log-probabilities."""
        noise: Tensor = self.get_buffer("noise")
        return torch.stack([self.inner(x + each).softmax(1) for each in noise]).mean(0).log()


@cache
def patches(eps: float = 0.0) -> nn.Module:
    """The transformer, trained; adversarially where there is a radius."""
    return trained(Patches, eps, 30).eval()


@cache
def plainly(kind: type[nn.Module]) -> nn.Module:
    """A network of a kind, trained on images as they are."""
    return trained(kind, epochs=30).eval()


def _layers() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 10))


def bounded(model: nn.Sequential, x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The least and the largest logits in the L-inf ball, by intervals (Gowal et al. 2019)."""
    low, high = (x - eps).clamp(0, 1).flatten(1), (x + eps).clamp(0, 1).flatten(1)
    for layer in model:
        if isinstance(layer, nn.Linear):
            middle, half = layer((low + high) / 2), (high - low) / 2 @ layer.weight.abs().T
            low, high = middle - half, middle + half
        elif isinstance(layer, nn.ReLU):
            low, high = low.relu(), high.relu()
    return low, high


@cache
def interval_trained(eps: float) -> nn.Sequential:
    """Two layers, trained on the worst logits that their intervals allow."""
    torch.manual_seed(0)
    model, (x, y) = _layers(), digits()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for epoch in range(80):
        for rows in torch.randperm(TRAINED_ON).view(-1, 100):
            low, high = bounded(model, x[rows], eps * min(1.0, epoch / 40))
            own = F.one_hot(y[rows], 10).bool()
            loss = F.cross_entropy(torch.where(own, low, high), y[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return model.eval()


def provable_of_intervals(model: nn.Sequential, images: Images, eps: float) -> int:
    """How many images stand for certain."""
    x, y = images
    with torch.no_grad():
        low, high = bounded(model, x, eps)
    own = F.one_hot(y, high.shape[1]).bool()
    return int((low[own] > high.masked_fill(own, -torch.inf).amax(1)).sum())


@cache
def flattened() -> nn.Module:
    """Layers that are trained to have a small gradient (Ross, Doshi-Velez 2018)."""
    torch.manual_seed(0)
    model, (x, y) = _layers(), digits()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(40):
        for rows in torch.randperm(TRAINED_ON).view(-1, 100):
            images = x[rows].clone().requires_grad_()
            loss = F.cross_entropy(model(images), y[rows])
            (grad,) = torch.autograd.grad(loss, images, create_graph=True)
            whole = loss + 2 * len(rows) * grad.square().sum()
            optimizer.zero_grad()
            torch.autograd.backward(whole)
            optimizer.step()
    return model.eval()
