"""What each channel's activations come to on clean images: their mean and their standard deviation."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advbench.defended.left_as_found import prepared
from advbench.defended.model import DefendedModel, Placement
from advbench.draws.sampling import ONE_DRAW, Sampling
from advbench.errors import DefenseError
from advbench.names.grammar import INPUT, LOGITS

from .images import widened


class Spot(NamedTuple):
    """Where statistics are wanted."""

    at: str
    """`input`, `logits`, or the name of a module, whose output is looked at."""
    axis: int | None = None
    """Of the channels; None for the usual one (`channel_axis`)."""


def channel_axis(x: Tensor, axis: int | None = None) -> int:
    """Which axis the channels of `x` `(n, ...)` lie along: the last of tokens `(n, t, c)`, else the second.

    Args:
        x: activations.
        axis: the one that was asked for.

    Raises:
        DefenseError: `x` has no such axis, or no channels at all.
    """
    wanted = (2 if x.dim() == 3 else 1) if axis is None else axis
    if not 1 <= wanted < x.dim():
        raise DefenseError(
            f"meansparse needs channels along axis {wanted}, got activations {tuple(x.shape)}."
        )
    return wanted


@torch.no_grad()
def channel_statistics(
    model: nn.Module,
    batches: Iterable[Tensor],
    at: Sequence[str | Spot],
    *,
    sampling: Sampling = ONE_DRAW,
    at_once: int | None = None,
) -> list[Tensor]:
    """The mean and the standard deviation of each channel's activations, over images and positions.

    Of the model as it is, in evaluation mode, without a defense. In float64, so that neither the order of the
    images nor the size of a batch shows in float32.

    Args:
        model: pixels `(n, c, h, w)` in [0, 1] to logits.
        batches: of training images, on the model's device.
        at: the places.
        sampling: the draws of a model that draws by itself.
        at_once: how many images go through the network together; by default a batch.

    Returns:
        Means and deviations for each place, `(2, channels)` float64.

    Raises:
        DefenseError: a place that there is not, one that the model passes more than once for an image, or
            activations that are not finite.
    """
    spots = [place if isinstance(place, Spot) else Spot(place) for place in at]
    sums = [_Sums(spot) for spot in spots]
    placements = [Placement(own, own.spot.at) for own in sums]
    defended = DefendedModel(model, placements, sampling=sampling, at_once=at_once)
    with prepared(model):
        for x in batches:
            defended(x)
            passes = len(defended.draws()) * len(defended.pieces(len(x)))
            for own in sums:
                own.close(passes)
    return [own.statistics() for own in sums]


class _Sums:
    """Passes activations on, and keeps the moments of each channel (Chan, Golub, LeVeque 1983)."""

    def __init__(self, spot: Spot) -> None:
        self.spot = spot
        self.calls, self.passes = 0, 0
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self.square = self.mean

    def __call__(self, x: Tensor) -> Tensor:
        axis = channel_axis(x, self.spot.axis)
        values = widened(x).movedim(axis, 0).flatten(1).cpu().double()
        mean = values.mean(1)
        square = (values - mean[:, None]).square().sum(1)
        if self.count and len(mean) != len(self.mean):
            raise DefenseError(
                f"meansparse at {self.spot.at!r}: {len(mean)} channels after {len(self.mean)}; the module is "
                "used for several things. Place it at a module that is called once an image."
            )
        if self.count == 0:
            self.mean, self.square = torch.zeros_like(mean), torch.zeros_like(mean)
        fresh, whole = values.shape[1], self.count + values.shape[1]
        apart = mean - self.mean
        self.mean = self.mean + apart * (fresh / whole)
        self.square = self.square + square + apart.square() * (self.count * fresh / whole)
        self.count, self.calls = whole, self.calls + 1
        return x

    def close(self, passes: int) -> None:
        """See whether the module was called once in each of so many forward passes.

        Raises:
            DefenseError: more often, as an activation that a block uses twice.
        """
        self.passes += passes
        if self.calls != self.passes:
            raise DefenseError(
                f"meansparse at {self.spot.at!r}: the model calls this module {self.calls / self.passes:g} "
                "times in a forward pass, and statistics would mix what differs. Place it at modules that "
                "are called once, such as those before it."
            )

    def statistics(self) -> Tensor:
        """Mean and standard deviation, `(2, channels)`."""
        where = "" if self.spot.at in (INPUT, LOGITS) else "module "
        if self.count == 0:
            raise DefenseError("meansparse needs images to measure its statistics on.")
        statistics = torch.stack([self.mean, (self.square / self.count).sqrt()])
        if not bool(statistics.isfinite().all()):
            raise DefenseError(f"meansparse: activations of {where}{self.spot.at!r} are not finite.")
        return statistics
