"""Randomized smoothing: a classifier that looks at an image under many draws of noise."""

import math
from typing import NamedTuple

from torch import Tensor, nn

from advbench.defended.members import side_by_side
from advbench.defended.random_model import RandomModel
from advbench.draws.draws import Draws
from advbench.errors import ModelError, SpecError
from advbench.names.grammar import parse_number, parse_spec


class Smoothed(nn.Module):
    """A network's logits under several draws of Gaussian noise, side by side as an ensemble's.

    Cohen, Rosenfeld, Kolter 2019, "Certified adversarial robustness via randomized smoothing", section 3: the
    noise is added to pixels and not clipped. The mean of the logits is the answer, unless a defense at the
    place `members` says otherwise: `ensemble-vote:alpha=0.001` is the paper's prediction by votes, which
    abstains.

    Args:
        network: pixels `(n, c, h, w)` to logits `(n, k)`.
        sigma: standard deviation of the noise, in pixel units, positive.
        draws: how many; each is a pass of the network.

    Raises:
        ModelError: noise that is none, or fewer than two draws.
    """

    def __init__(self, network: nn.Module, sigma: float, draws: int) -> None:
        super().__init__()
        if not 0.0 < sigma < math.inf:
            raise ModelError(f"smoothing needs a positive sigma, got {sigma:g}.")
        if draws < 2:
            raise ModelError(f"smoothing needs two draws or more, got {draws}.")
        self.network = network
        self.sigma, self.count = sigma, draws
        self.members = nn.Identity()

    def forward(self, x: Tensor, draws: Draws) -> Tensor:
        """Logits, `(n, k)`."""
        noisy = (
            x + self.sigma * draws.stream(number).normal(tuple(x.shape[1:])).to(x)
            for number in range(self.count)
        )
        return side_by_side([self.network(noisy_x) for noisy_x in noisy], self.members)


def smoothed(network: nn.Module, *, sigma: float, draws: int = 100) -> RandomModel:
    """A network under Gaussian noise, `draws` at a time, as a random model: see `Smoothed`.

    Raises:
        ModelError: noise that is none, or fewer than two draws.
    """
    return RandomModel(Smoothed(network, sigma, draws))


class Smoothing(NamedTuple):
    """How much noise, and how often."""

    sigma: float
    draws: int


def read_smoothing(text: str) -> Smoothing:
    """`sigma=0.25,draws=100` as numbers; a hundred draws where none are told.

    Raises:
        SpecError: something else.
    """
    parameters = dict(parse_spec(f"smooth:{text}").parameters) if "=" in text else {"sigma": text}
    strange = [name for name in parameters if name not in ("sigma", "draws")]
    draws = parameters.get("draws", "100")
    if (
        strange
        or "sigma" not in parameters
        or not (draws.isascii() and draws.isdecimal() and 2 <= int(draws) < 10**6)
    ):
        raise SpecError(f"--smooth must be sigma=0.25,draws=100 with 2 draws or more, got {text!r:.40}.")
    sigma = parse_number(parameters["sigma"], "--smooth: sigma")
    if sigma <= 0.0:
        raise SpecError(f"--smooth: sigma must be positive, got {sigma:g}.")
    return Smoothing(sigma, int(draws))
