"""A diffusion purifier of six steps: with its gradient, and with a denoiser that runs under `no_grad`."""

import torch
from torch import Tensor

from advbench import Draws, load_model
from advbench.defenses import Purify
from advbench.defenses.digits_denoiser import digits_denoiser
from benchmarks.adaptive.ascent import Classifier, majority, margin, standing
from benchmarks.adaptive.line import Line

STEPS = 6
EOT = 8
WHOLE = Purify(steps=STEPS)

_frozen = digits_denoiser()


def blocked(x: Tensor, sigma: Tensor) -> Tensor:
    """The bundled denoiser as an inference engine runs it: nothing is kept for a backward pass."""
    with torch.no_grad():
        denoised: Tensor = _frozen(x, sigma)
    return denoised


class Differentiable:
    """The purifier with its gradient, under the noise that the forward pass had: what a user hands over."""

    random = True

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """Purified images, `(n, c, h, w)`."""
        return WHOLE(x, draws)


differentiable = Differentiable()


def purified(x: Tensor) -> Tensor:
    """The process written out: fresh noise and a denoising step, six times; autograd keeps it all."""
    for step in WHOLE.process:
        x = x + step.spread * torch.randn_like(x)
        x = (1 - step.share) * x + step.share * _frozen(x, torch.tensor(step.sigma))
    return x


def against_purifier(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Differentiate through all steps, in expectation over their noise (Lee, Kim 2023)."""
    network: Classifier = load_model("digits-cnn")

    def loss(x_adv: Tensor) -> Tensor:
        draws = purified(x_adv.repeat(EOT, 1, 1, 1))
        return margin(network(draws), y.repeat(EOT)).view(EOT, -1).mean(0)

    def right(x_adv: Tensor) -> Tensor:
        with torch.no_grad():
            return network(purified(x_adv)).argmax(1) == y

    def stands(x_adv: Tensor) -> Tensor:
        return majority(lambda: right(x_adv))

    return standing(loss, stands, x, eps, restarts=1, steps=60, look_every=60)


_SETTINGS = "--eot 8 --gradient-free square:queries=100"

BLOCKED = Line(
    name="diffusion purifier under no_grad",
    kind="purifier",
    paper="Nie et al. 2022",
    options="--defense purify:denoiser=benchmarks.adaptive.purifier:blocked,steps=6 "
    f"--substitute benchmarks.adaptive.purifier:differentiable {_SETTINGS} --steps 60",
    adaptive=against_purifier,
    right=("masked",),
    eps=0.2,
)
EXACT = Line(
    name="diffusion purifier with its gradient",
    kind="purifier",
    paper="Nie et al. 2022",
    options=f"--defense purify:steps=6 --substitute exact {_SETTINGS}",
    adaptive=against_purifier,
    right=("not robust",),
    eps=0.2,
)
