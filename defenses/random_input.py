"""Randomisation of the input: resizing, padding, cropping and noise, drawn for each image alone."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from advbench.draws.draws import Draws
from advbench.errors import SpecError

from .images import check_images, widened

NoiseKind = Literal["gaussian", "uniform"]


@dataclass(frozen=True, kw_only=True)
class ResizePad:
    """Resize to a random size, by the nearest pixel, and pad with zeros to a fixed one at a random place.

    Xie, Wang, Zhang, Ren, Yuille 2018, "Mitigating adversarial effects through randomization", section 3:
    299 pixels are resized to 299..330 and padded to 331. An image of another size grows in that ratio: 224
    to 248, 32 to 35, 28 to 31. Both sides grow by the same draw. The output is larger than the input, and
    the network must take it; with `keep` it is resized back, bilinearly, for networks that take one size.

    Args:
        ratio: side of the output over that of the input.
        keep: give back images of the input's size. Differs from the paper, whose networks take any size.

    Raises:
        SpecError: a ratio outside its range.
        DefenseError: something else than images `(n, c, h, w)`.
    """

    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("exact",)

    ratio: float = 331 / 299
    keep: bool = False

    def __post_init__(self) -> None:
        if not 1.0 <= self.ratio <= 4.0:
            raise SpecError(f"resize-pad: ratio must lie in [1, 4], got {self.ratio:g}.")

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """The padded images, `(n, c, round(ratio * h), round(ratio * w))`; `(n, c, h, w)` with `keep`."""
        check_images(x, "resize-pad")
        grown = draws.stream("size").uniform(())
        padded = self._along(2, x, grown, draws.stream("top").uniform(()))
        padded = self._along(3, padded, grown, draws.stream("left").uniform(()))
        if not self.keep:
            return padded
        return F.interpolate(widened(padded), size=x.shape[2:], mode="bilinear").to(x.dtype)

    def _along(self, dim: int, x: Tensor, grown: Tensor, at: Tensor) -> Tensor:
        """Resize and pad along one side.

        Args:
            dim: 2 or 3.
            x: `(n, c, h, w)`.
            grown: how far each image grows of what it may, in [0, 1), `(n,)`.
            at: where each image ends up between the edges, in [0, 1), `(n,)`.
        """
        side = x.shape[dim]
        whole = round(side * self.ratio)
        size = side + (grown * max(whole - side, 1)).long()
        start = (at * (whole - size + 1)).long()
        place = torch.arange(whole, device=x.device) - start[:, None]
        source = place * side // size[:, None]
        outside = (place < 0) | (place >= size[:, None])
        shape = [len(x), 1, 1, 1]
        shape[dim] = whole
        source = source.clamp(0, side - 1).view(shape)
        wanted = [*x.shape]
        wanted[dim] = whole
        return x.gather(dim, source.expand(wanted)).masked_fill(outside.view(shape), 0.0)


@dataclass(frozen=True, kw_only=True)
class CropEnsemble:
    """A random crop, resized back to the size of the image, bilinearly.

    Guo, Rana, Cisse, van der Maaten 2018, "Countering adversarial images using input transformations",
    section 4: crops of 90x90 of an image of 224x224. A map on images cannot average predictions; here a
    draw is one crop, and the harness averages the logits of an attack over its draws and judges by the
    majority of others. The paper's 30 crops are `--judge-draws 31`.

    Args:
        size: side of the crop over that of the image.

    Raises:
        SpecError: a size outside its range.
        DefenseError: something else than images `(n, c, h, w)`.
    """

    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("exact",)

    size: float = 90 / 224

    def __post_init__(self) -> None:
        if not 0.0 < self.size <= 1.0:
            raise SpecError(f"crop-ensemble: size must lie in (0, 1], got {self.size:g}.")

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """One crop of each image, `(n, c, h, w)` as `x`."""
        check_images(x, "crop-ensemble")
        crop = widened(x)
        for dim, name in ((2, "top"), (3, "left")):
            side = x.shape[dim]
            length = max(round(side * self.size), 1)
            start = (draws.stream(name).uniform(()) * (side - length + 1)).long()
            shape, wanted = [len(x), 1, 1, 1], [*crop.shape]
            shape[dim] = wanted[dim] = length
            source = start[:, None] + torch.arange(length, device=x.device)
            crop = crop.gather(dim, source.view(shape).expand(wanted))
        return F.interpolate(crop, size=x.shape[2:], mode="bilinear").to(x.dtype)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Add independent noise to every value; at the input or at any module.

    Liu, Cheng, Zhang, Hsieh 2018, "Towards robust neural networks via random self-ensemble", section 3.1,
    with their deviation for layers inside the network; they take 0.2 at the first. The sum is not clipped.

    Args:
        sigma: standard deviation, in the units of what it is added to.
        kind: `gaussian`, or `uniform` in [-sqrt(3) sigma, sqrt(3) sigma], which has the same deviation.

    Raises:
        SpecError: a deviation that is not positive, or another kind.
    """

    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("identity",)

    sigma: float = 0.1
    kind: NoiseKind = "gaussian"

    def __post_init__(self) -> None:
        if not 0.0 < self.sigma < float("inf"):
            raise SpecError(f"noise: sigma must be positive, got {self.sigma:g}.")
        if self.kind not in get_args(NoiseKind):
            raise SpecError(
                f"noise: kind must be one of {', '.join(get_args(NoiseKind))}, got {self.kind!r}."
            )

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """The noisy `x`, any shape `(n, ...)`."""
        shape = x.shape[1:]
        if self.kind == "gaussian":
            noise = draws.normal(shape) * self.sigma
        else:
            noise = (draws.uniform(shape) - 0.5) * (2.0 * 3.0**0.5 * self.sigma)
        return (widened(x) + noise.to(x.device)).to(x.dtype)
