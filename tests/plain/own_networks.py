"""Networks in small code of their own, of as many shapes as could mislead an evaluation in silence.

Each takes grey images `(n, 1, 16, 16)` in [0, 1] and gives logits `(n, 10)`.
"""

from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

SIDE: Final = 16
CLASSES: Final = 10

Build = Callable[[], nn.Module]


class Assembled(nn.Module):
    """Parts, and a function of them and of the images that is the forward pass."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.way = forward
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(part) if isinstance(part, Tensor) else part)

    def forward(self, x: Tensor) -> Any:
        return self.way(self, x)


def head(channels: int) -> nn.Sequential:
    """From maps of any size to logits."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * channels, CLASSES))


def two_layers(norm: Callable[[int], nn.Module], **convolution: Any) -> nn.Sequential:
    """Two convolutions with a normalisation behind each."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, **convolution),
        norm(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, **convolution),
        norm(16),
        nn.ReLU(),
        head(16),
    )


def weight_norm() -> nn.Module:
    """Weights that are computed at each call, before a BatchNorm that could be folded into them."""
    model = two_layers(nn.BatchNorm2d)
    nn.utils.parametrizations.weight_norm(model[0])
    nn.utils.parametrizations.weight_norm(model[4])
    return model


def spectral_norm() -> nn.Module:
    """Weights divided by their largest singular value, which training mode goes on estimating."""
    model = two_layers(lambda channels: nn.InstanceNorm2d(channels, affine=True, track_running_stats=True))
    nn.utils.parametrizations.spectral_norm(model[0])
    nn.utils.parametrizations.spectral_norm(model[4])
    return model


def ring() -> nn.Module:
    """Images whose left edge touches their right one, and BatchNorm without weights or momentum."""
    return two_layers(
        lambda channels: nn.BatchNorm2d(channels, affine=False, momentum=None), padding_mode="circular"
    )


def transposed() -> nn.Module:
    """Upsampling in groups: the weights of a transposed convolution have their axes the other way round."""
    return nn.Sequential(
        nn.BatchNorm2d(1),
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.PReLU(8),
        nn.ConvTranspose2d(8, 16, 4, stride=2, padding=1, groups=4),
        nn.BatchNorm2d(16),
        nn.Hardswish(),
        head(16),
    )


def shared_convolution() -> nn.Module:
    """One convolution used twice, each time with a BatchNorm of its own behind it."""

    def forward(net: Any, x: Tensor) -> Any:
        y = net.norm_1(net.shared(net.first(x))).relu()
        return net.head(net.norm_2(net.shared(y)).relu())

    return Assembled(
        forward,
        first=nn.Conv2d(1, 16, 3, padding=1),
        shared=nn.Conv2d(16, 16, 3, padding=1),
        norm_1=nn.BatchNorm2d(16),
        norm_2=nn.BatchNorm2d(16),
        head=head(16),
    )


def borrowed_weights() -> nn.Module:
    """A convolution's weights are used once more by hand, beside the layer and its BatchNorm."""

    def forward(net: Any, x: Tensor) -> Any:
        y = net.norm(net.first(x)).relu() + F.conv2d(x, net.first.weight, padding=1)
        return net.head(y)

    return Assembled(forward, first=nn.Conv2d(1, 8, 3, padding=1), norm=nn.BatchNorm2d(8), head=head(8))


def rows_as_channels() -> nn.Module:
    """BatchNorm over the rows of the image behind a linear layer over its columns, of the same number."""

    def forward(net: Any, x: Tensor) -> Any:
        return net.last(net.norm(net.columns(x[:, 0])).relu().flatten(1))

    return Assembled(
        forward,
        columns=nn.Linear(SIDE, SIDE),
        norm=nn.BatchNorm1d(SIDE),
        last=nn.Linear(SIDE * SIDE, CLASSES),
    )


def transformer() -> nn.Module:
    """An encoder with its norms last, which PyTorch computes by another kernel where no gradient is taken."""

    def forward(net: Any, x: Tensor) -> Any:
        tokens = net.patches(x).flatten(2).transpose(1, 2) + net.places
        return net.last(net.encoder(tokens).mean(1))

    layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, batch_first=True)
    return Assembled(
        forward,
        patches=nn.Conv2d(1, 32, 4, stride=4),
        places=0.1 * torch.randn(1, 16, 32),
        encoder=nn.TransformerEncoder(layer, 2),
        last=nn.Linear(32, CLASSES),
    )


def rows_in_time() -> nn.Module:
    """A bidirectional LSTM over the rows with the time axis first and the images second."""

    def forward(net: Any, x: Tensor) -> Any:
        states, _ = net.memory(x[:, 0].transpose(0, 1))
        return net.last(states.mean(0))

    return Assembled(forward, memory=nn.LSTM(SIDE, 48, bidirectional=True), last=nn.Linear(2 * 48, CLASSES))


def capsules() -> nn.Module:
    """Three rounds of routing by agreement; logits are lengths of vectors."""

    def squash(v: Tensor) -> Tensor:
        length = v.norm(dim=-1, keepdim=True)
        shorter: Tensor = length / (1 + length * length)
        return shorter * v

    def forward(net: Any, x: Tensor) -> Any:
        below = squash(net.features(x).view(len(x), -1, 8))
        votes = torch.einsum("nif,ijfo->nijo", below, net.votes)
        agreement = torch.zeros_like(votes[..., 0])
        above = votes.mean(1)
        for _ in range(3):
            above = squash((agreement.softmax(2)[..., None] * votes).sum(1))
            agreement = agreement + (votes * above[:, None]).sum(-1)
        return 5 * above.norm(dim=-1)

    features = nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1)
    )
    return Assembled(forward, features=features, votes=0.1 * torch.randn(64, CLASSES, 8, 8))


def bilinear_pooling() -> nn.Module:
    """Products of all pairs of channels, with signed roots."""

    def forward(net: Any, x: Tensor) -> Any:
        maps = net.features(x).flatten(2)
        products = torch.bmm(maps, maps.transpose(1, 2)).flatten(1) / maps.shape[2]
        roots = products.sign() * (products.abs() + 1e-6).sqrt()
        return net.last(4 * F.normalize(roots))

    features = nn.Sequential(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU())
    return Assembled(forward, features=features, last=nn.Linear(256, CLASSES))


def spectrum() -> nn.Module:
    """A filter of complex numbers on the Fourier transform of the image."""

    def forward(net: Any, x: Tensor) -> Any:
        filtered = torch.fft.rfft2(x) * torch.view_as_complex(net.filter)
        return net.rest(torch.fft.irfft2(filtered, s=(SIDE, SIDE)))

    rest = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GELU(), head(8))
    return Assembled(forward, filter=torch.randn(1, 1, SIDE, SIDE // 2 + 1, 2), rest=rest)


def sorted_responses() -> nn.Module:
    """Every eighth of each map's responses in order, wherever they stand."""

    def forward(net: Any, x: Tensor) -> Any:
        ordered = net.first(x).relu().flatten(2).sort(dim=2).values
        return net.last(ordered[:, :, ::8].flatten(1))

    return Assembled(forward, first=nn.Conv2d(1, 16, 3, padding=1), last=nn.Linear(16 * 32, CLASSES))


def unpooled() -> nn.Module:
    """Maxima put back where they came from."""

    def forward(net: Any, x: Tensor) -> Any:
        pooled, places = F.max_pool2d(net.first(x).relu(), 2, return_indices=True)
        y = F.max_unpool2d(pooled, places, [2, 2])
        return net.head(net.second(y).relu())

    return Assembled(
        forward, first=nn.Conv2d(1, 8, 3, padding=1), second=nn.Conv2d(8, 16, 3, padding=1), head=head(16)
    )


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] * (x.abs() < 1)


def binary_activations() -> nn.Module:
    """Activations of -1 and 1 with a straight-through gradient of the network's own."""
    return nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        Assembled(lambda _, x: _Sign.apply(x)),
        nn.Conv2d(24, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        nn.Hardtanh(),
        head(24),
    )


def experts() -> nn.Module:
    """Each image is sent to one of three networks, so that the batch is split by what is in it."""

    def forward(net: Any, x: Tensor) -> Any:
        gates = net.gate(x)
        logits = x.new_zeros(len(x), CLASSES)
        for number, expert in enumerate(net.experts):
            sent = gates.argmax(1) == number
            if sent.any():
                logits[sent] = expert(x[sent])
        return logits * gates.softmax(1).amax(1, keepdim=True)

    gate = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 3))
    return Assembled(forward, gate=gate, experts=nn.ModuleList(two_layers(nn.BatchNorm2d) for _ in range(3)))


def prototypes() -> nn.Module:
    """Distances to one learned point a class."""

    def forward(net: Any, x: Tensor) -> Any:
        return -torch.cdist(net.features(x), net.points)

    features = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.LocalResponseNorm(3, alpha=1.0), nn.Flatten(), nn.Linear(8 * 14 * 14, 16)
    )
    return Assembled(forward, features=features, points=3 * torch.randn(CLASSES, 16))


def descended() -> nn.Module:
    """A step down an energy's gradient before the network: the forward pass differentiates on its own."""

    def forward(net: Any, x: Tensor) -> Any:
        with torch.enable_grad():
            z = x if x.requires_grad else x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(net.energy(z).square().sum(), z, create_graph=True)
        return net.rest(x - 0.05 * slope)

    energy = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh())
    return Assembled(forward, energy=energy, rest=two_layers(nn.BatchNorm2d))


def double_inside() -> nn.Module:
    """Statistics of each image in float64, between layers in float32."""

    def forward(net: Any, x: Tensor) -> Any:
        y = net.first(x).double()
        y = (y - y.mean((1, 2, 3), keepdim=True)) / (y.var((1, 2, 3), keepdim=True) + 1e-9).sqrt()
        return net.head(y.float().relu())

    return Assembled(forward, first=nn.Conv2d(1, 8, 3, padding=1), head=head(8))


def three_crops() -> nn.Module:
    """Crops of all images side by side in the batch, whose logits are averaged."""

    def forward(net: Any, x: Tensor) -> Any:
        crops = torch.cat([x[..., :14, :14], x[..., 2:, 2:], x[..., 1:15, 1:15].flip(-1)])
        return net.rest(crops).view(3, len(x), CLASSES).mean(0)

    return Assembled(forward, rest=two_layers(nn.BatchNorm2d))


def recomputed() -> nn.Module:
    """Activations that the backward pass computes a second time."""

    def forward(net: Any, x: Tensor) -> Any:
        return net.head(checkpoint(net.features, x, use_reentrant=False))

    features = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Mish())
    return Assembled(forward, features=features, head=head(8))


class KeptWeights(nn.Module):
    """Weights of unit length, computed at the first call in evaluation mode and kept from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = head(8)
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        weight = F.normalize(self.first.weight, dim=1) if self.kept is None else self.kept
        self.kept = None if self.training else weight.detach()
        logits: Tensor = self.head(self.norm(F.conv2d(x, weight, padding=1)).relu())
        return logits
