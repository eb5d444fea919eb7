"""The denoiser of 8x8 grey digits that comes with the package, so that `purify` works without a download."""

from pathlib import Path
from typing import Final

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.errors import DefenseError

WEIGHTS: Final = Path(__file__).parent / "weights" / "digits-denoiser.safetensors"

_SHAPE: Final = (1, 8, 8)
_MEAN: Final = 0.305
"""Of all pixels of the training digits, and beside it their standard deviation."""
_DEVIATION: Final = 0.376


class DigitsDenoiser(nn.Module):
    """The mean of the clean digits that a noisy one may have been: `(x, sigma) -> E[clean | x]`.

    With s the deviation of the noise, v the variance of pixels and `u = x - mean`,

        D(x, s) = mean + u v / (v + s^2) + s sqrt(v / (v + s^2)) F(u / sqrt(v + s^2), ln(s) / 4)

    so that what the network F sees and is to give has variance 1 at every noise: Karras, Aittala, Aila, Laine
    2022, "Elucidating the design space of diffusion-based generative models", equation 7 and table 1. F is a
    perceptron, as 64 pixels need no more.

    Args:
        width: of the three hidden layers.
    """

    def __init__(self, *, width: int = 256) -> None:
        super().__init__()
        self.enter = nn.Linear(64, width)
        self.noise = nn.Linear(1, width)
        self.middle = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.leave = nn.Linear(width, 64)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The denoised `x`.

        Args:
            x: digits with Gaussian noise, `(n, 1, 8, 8)`; without it, pixels lie in [0, 1].
            sigma: the noise's standard deviation in pixel units, `(n,)`.

        Returns:
            Digits, `(n, 1, 8, 8)`, hardly outside [0, 1].

        Raises:
            DefenseError: something else than such images.
        """
        if tuple(x.shape[1:]) != _SHAPE:
            raise DefenseError(
                "purify: the denoiser that comes with the package is of grey digits (n, 1, 8, 8), got images "
                f"{tuple(x.shape)}; give yours, purify:denoiser=file.py:net."
            )
        sigma = sigma.to(x.dtype).view(-1, 1)
        variance = _DEVIATION**2 + sigma.square()
        u = x.flatten(1) - _MEAN
        hidden = F.silu(self.enter(u / variance.sqrt()) + self.noise(0.25 * sigma.log()))
        for layer in self.middle:
            hidden = F.silu(layer(hidden))
        y = u * (_DEVIATION**2 / variance) + self.leave(hidden) * (sigma * _DEVIATION / variance.sqrt())
        denoised: Tensor = (y + _MEAN).view_as(x)
        return denoised

    def weight(self, sigma: Tensor) -> Tensor:
        """What a squared error is multiplied by, so that it is F's own at every noise; `sigma`'s shape."""
        return (_DEVIATION**2 + sigma.square()) / (_DEVIATION * sigma).square()


def digits_denoiser() -> DigitsDenoiser:
    """The bundled network with its weights, in evaluation mode."""
    network = DigitsDenoiser()
    network.load_state_dict(safetensors.torch.load_file(WEIGHTS))
    return network.eval().requires_grad_(False)


def noisy(x: Tensor, sigma: Tensor, z: Tensor) -> Tensor:
    """What a denoiser is given: `x + sigma z`, `(n, c, h, w)`, with `sigma` `(n,)`."""
    return torch.addcmul(x, sigma.view(-1, *(1,) * (x.dim() - 1)), z)
