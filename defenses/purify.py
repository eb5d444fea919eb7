"""Purification: noise drowns the perturbation, and a denoiser takes image and noise apart again."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Final, Literal, get_args

from torch import Tensor

from advbench.draws.draws import Draws
from advbench.errors import SpecError

from .denoiser import BUNDLED, Denoiser, find_denoiser
from .denoising_process import Step, purified
from .images import check_images, widened

Form = Literal["one-shot", "ddpm", "langevin"]

_STEPS: Final[dict[Form, int]] = {"one-shot": 1, "ddpm": 8, "langevin": 8}
_STEP_SIZE: Final = 0.1
_MOST: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Purify:
    """Add noise to an image and remove it with a denoiser, in one step or in many.

    The denoiser is yours: a function or a module `(x, sigma) -> denoised x` that estimates the mean of the
    clean images which a noisy one may have been. It is given

        x      images `(n, c, h, w)`, clean pixels in [0, 1] plus Gaussian noise, not clipped
        sigma  the noise's standard deviation in the same units, a tensor of no dimension, which counts as a
               number and broadcasts with any shape (`sigma.expand(len(x))` is one for each image)

    and returns images of the shape of `x`. The network of a diffusion model that predicts the noise eps of
    `x_t = sqrt(a) x_0 + sqrt(1 - a) eps`, pixels in [-1, 1], becomes one by `a = 1 / (1 + 4 sigma^2)`,
    `x_t = sqrt(a) (2 x - 1)` and `D = (1 + (x_t - sqrt(1 - a) eps) / sqrt(a)) / 2`.

    With D the denoiser, z fresh noise of variance 1 wherever it stands, and s = `noise`, the forms are

        one-shot   x <- D(x + s z, s)
        ddpm       x <- x + s z, and for i = 0 .. steps - 1, with r = s_{i+1}^2 / s_i^2, s_0 = s, s_steps = 0,
                   x <- r x + (1 - r) D(x, s_i) + s_{i+1} sqrt(1 - r) z
        langevin   x <- x + s z, then steps - 1 times x <- x + a (D(x, s) - x) + s sqrt(2 a) z,
                   and at last x <- D(x, s)

    `one-shot`: Carlini, Tramer, Dvijotham, Rice, Sun, Kolter 2023, "(Certified!!) adversarial robustness for
    free!". `ddpm`: Nie, Guo, Huang, Xiao, Vahdat, Anandkumar 2022, "Diffusion models for adversarial
    purification" (DiffPure). The update is the ancestral one of Ho, Jain, Abbeel 2020, "Denoising diffusion
    probabilistic models", equations 6 and 7, for images divided by sqrt(a), and the s_i lie evenly in the
    time of their linear schedule (`schedule`). DiffPure's t* = 0.1 (CIFAR-10) is `noise` 0.17, its t* = 0.15
    (ImageNet) 0.26. Differs from DiffPure, which solves the reverse stochastic differential equation in a
    hundred steps of Euler or more; and from Wang, Lyu, Lin, Dai, Fu 2022, "Guided diffusion model for
    adversarial purification" (GDMP), in that nothing guides the process to its input and that it runs once.
    `langevin`: Langevin dynamics on the score of noisy images, `(D(x, s) - x) / s^2`, in steps of `a s^2`:
    Hill, Mitchell, Zhu 2021, "Stochastic security: adversarial defense using long-run dynamics of
    energy-based models", with an energy of clean images and over a thousand steps; the noise before it is
    that of Yoon, Hwang, Lee 2021, "Adversarial purification with score-based generative models" (ADP), whose
    steps have no noise and find their size by themselves. Differs from both by the last step, without which
    noise would stay.

    The output is not clipped: a clip would hide the gradient of every pixel that it moves. Its own gradient
    goes through all steps in the memory of one (`denoising_process.py`); `surrogate:steps=K` is that of the
    same process with fewer steps: Lee, Kim 2023, "Robust evaluation of diffusion-based adversarial
    purification".

    Args:
        denoiser: `file.py:net` or `package.module:net`, a function or a module as above, or what makes one
            when it is called without an argument; by default the bundled one, of scikit-learn's 8x8 digits.
        form: which process.
        noise: deviation of the noise at first, in pixel units (0.2, not 51).
        steps: passes through the denoiser; 8 by default, one-shot takes 1.
        step_size: `a`, of langevin alone; 0.1 by default.
        digest: of a module's weights, so that a run knows which it had; not to be given.

    Raises:
        SpecError: a denoiser that there is not, or a parameter outside its range.
        InputError: a file of a denoiser that cannot be imported.
    """

    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    recomputes: ClassVar[bool] = True
    """Its own gradient keeps no graph of a forward pass."""

    denoiser: str | Callable[..., Tensor] = BUNDLED
    form: Form = "ddpm"
    noise: float = 0.2
    steps: int | None = None
    step_size: float | None = None
    digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise SpecError(f"purify: form must be one of {', '.join(get_args(Form))}, got {self.form!r}.")
        if not 0.0 < self.noise <= 10.0:
            raise SpecError(
                f"purify: noise must lie in (0, 10], got {self.noise:g}. Units are those of pixels in [0, 1]."
            )
        steps = _STEPS[self.form] if self.steps is None else self.steps
        most = 1 if self.form == "one-shot" else _MOST
        if not 1 <= steps <= most:
            raise SpecError(f"purify: steps of {self.form} must lie in 1..{most}, got {steps}.")
        if self.form != "langevin" and self.step_size is not None:
            raise SpecError(f"purify: step_size belongs to the form langevin, {self.form} has none.")
        if self.step_size is not None and not 0.0 < self.step_size <= 1.0:
            raise SpecError(f"purify: step_size must lie in (0, 1], got {self.step_size:g}.")
        object.__setattr__(self, "steps", steps)
        if self.form == "langevin" and self.step_size is None:
            object.__setattr__(self, "step_size", _STEP_SIZE)
        object.__setattr__(self, "digest", self._found.digest)

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """The purified images, `(n, c, h, w)` as `x`.

        Raises:
            DefenseError: something else than images, a denoiser that fails on them or returns another shape,
                or a step that gives NaN.
        """
        return self._through(self.process, x, draws)

    @property
    def substitutes(self) -> tuple[str, ...]:
        """What may stand in for it: its own gradient, that with half and a quarter of its steps, and none."""
        fewer = dict.fromkeys(self._count // part for part in (2, 4))
        surrogates = tuple(f"surrogate:steps={steps}" for steps in fewer if steps >= 1)
        return ("exact", *surrogates, "identity", "smooth")

    @property
    def runs_own_code(self) -> bool:
        """Whether the denoiser is the user's, which may know what nobody told it, such as the classifier."""
        return self.denoiser != BUNDLED

    def surrogate(self, x: Tensor, draws: Draws, *, steps: int) -> Tensor:
        """The same process with fewer steps, under the same noise at first; `(n, c, h, w)`.

        Args:
            x: images.
            draws: their streams.
            steps: passes through the denoiser.
        """
        return self._through(self._process_of(steps), x, draws)

    def check_surrogate(self, *, steps: int) -> None:
        """See whether the process can have so many steps.

        Raises:
            SpecError: it cannot.
        """
        if not 1 <= steps <= self._count:
            raise SpecError(f"purify: a surrogate has 1..{self._count} steps, the defense's, got {steps}.")

    @property
    def process(self) -> tuple[Step, ...]:
        """Its steps."""
        return self._process_of(self._count)

    def _process_of(self, count: int) -> tuple[Step, ...]:
        if self.form == "langevin":
            assert self.step_size is not None
            return langevin(self.noise, count, self.step_size)
        return ddpm(self.noise, count)  # which one-shot is in one step

    def _through(self, process: tuple[Step, ...], x: Tensor, draws: Draws) -> Tensor:
        check_images(x, "purify")
        if len(x) == 0:
            return x.clone()
        return purified(widened(x), process, self._found, draws).to(x.dtype)

    @property
    def _count(self) -> int:
        assert self.steps is not None
        return self.steps

    @cached_property
    def _found(self) -> Denoiser:
        """The denoiser; no field, so that no record of a run holds it."""
        return find_denoiser(self.denoiser)


def ddpm(noise: float, count: int) -> tuple[Step, ...]:
    """The reverse process from some noise to none, in even steps of the time of DDPM's linear schedule.

    Ho, Jain, Abbeel 2020, equations 6 and 7. With images divided by sqrt(a_t), as here, the mean of
    `q(x_{i+1} | x_i, x_0)` is `r x_i + (1 - r) x_0`, and its variance `s_{i+1}^2 (1 - r)`.

    Args:
        noise: the deviation at first, in pixel units.
        count: how many steps.
    """
    levels = schedule(noise, count)
    steps, spread = [], noise
    for sigma, after in zip(levels, (*levels[1:], 0.0), strict=True):
        share = 1.0 - (after / sigma) ** 2
        steps.append(Step(spread, sigma, share))
        spread = after * math.sqrt(share)
    return tuple(steps)


def schedule(noise: float, count: int) -> tuple[float, ...]:
    """The noise's deviation before each of `count` steps, the first being `noise`.

    In the linear schedule between 0.1 and 20 (Song et al. 2021, "Score-based generative modeling through
    stochastic differential equations", equation 33) `ln(1 / a)` is `0.1 t + 9.95 t^2`; pixels in [-1, 1]
    divided by sqrt(a) have noise of variance `1 / a - 1`, and those in [0, 1] half of its deviation.
    """
    whole = math.log1p(4.0 * noise**2)
    t = (math.sqrt(0.1**2 + 4.0 * 9.95 * whole) - 0.1) / (2.0 * 9.95)
    times = [t * (1.0 - number / count) for number in range(count)]
    levels = [0.5 * math.sqrt(math.expm1(0.1 * time + 9.95 * time**2)) for time in times]
    return (noise, *levels[1:])


def langevin(noise: float, count: int, step_size: float) -> tuple[Step, ...]:
    """Langevin dynamics on images with noise, and the removal of that noise at last.

    `x + e score + sqrt(2 e) z`, with the score `(D(x, s) - x) / s^2` of Tweedie's formula and the step `e = a
    s^2`.

    Args:
        noise: s, in pixel units.
        count: passes through the denoiser.
        step_size: a.
    """
    spreads = (noise, *[noise * math.sqrt(2.0 * step_size)] * (count - 1))
    shares = (*[step_size] * (count - 1), 1.0)
    return tuple(Step(spread, noise, share) for spread, share in zip(spreads, shares, strict=True))
