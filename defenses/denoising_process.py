"""A process of denoising steps, and its gradient in the memory of one step.

Every form of `purify` is a chain of steps of one kind, whose numbers are known before any image is seen:

    u = x + spread z,    x <- (1 - share) u + share D(u, sigma),    z ~ N(0, 1)

Autograd would keep what the denoiser D computes in every step until the backward pass. Here the forward pass
keeps the noisy images u and nothing else, and the backward pass runs D once more on each of them, the last
one first, which takes no noise:

    g <- (1 - share) g + share (dD/du)^T g
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from advbench.defended.clips import clipped_from_inside
from advbench.draws.draws import Draws
from advbench.errors import DefenseError, ran_out_of_memory

Denoise = Callable[[Tensor, float], Tensor]
"""Noisy images `(n, c, h, w)` and the noise's deviation to denoised images of the same shape."""

KEPT: Final = 32
"""The images of so many steps are kept at most; of a longer process those of every second, third, and so on
are, and the others made anew."""


_DRAWN: Final = 512
"""So many numbers are drawn at a time of an image, or as many as one step takes."""


class Step(NamedTuple):
    """One step: noise on the images, and a part of the way to where the denoiser sees them."""

    spread: float
    """Deviation of the noise that is added, in pixel units."""
    sigma: float
    """Deviation of the noise that the denoiser is told."""
    share: float
    """Of the way to the denoised images, in (0, 1]."""


def purified(x: Tensor, steps: Sequence[Step], denoise: Denoise, draws: Draws) -> Tensor:
    """What a process makes of images; its gradient takes one more pass through the denoiser a step.

    Args:
        x: images `(n, c, h, w)`, float32 or float64.
        steps: the process.
        denoise: D. Where it leaves autograd its derivative counts as zero, as autograd has it.
        draws: the images' streams.

    Returns:
        Images, `(n, c, h, w)`.

    Raises:
        DefenseError: images that are finite no more; it names the first step after which they are not.
    """
    y: Tensor = _Process.apply(x, tuple(steps), denoise, draws)
    return y


class _Process(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: tuple[Step, ...], denoise: Denoise, draws: Draws) -> Tensor:
        ctx.steps, ctx.denoise, ctx.draws = steps, denoise, draws
        apart, sound, noise = _apart(steps), [x.isfinite().all()], _Noise(draws, x, len(steps))
        # One block of memory: small tensors among large ones that come and go would tear the heap to pieces.
        kept = x.new_empty((math.ceil(len(steps) / apart) if ctx.needs_input_grad[0] else 0, *x.shape))
        for number, step in enumerate(steps):
            u = _noisy(x, step, noise, number)
            if ctx.needs_input_grad[0] and number % apart == 0:
                kept[number // apart] = u
            x = _moved(u, step, denoise)
            sound.append(x.isfinite().all())
        _check_sound(torch.stack(sound).tolist())
        ctx.save_for_backward(kept)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (kept,) = ctx.saved_tensors
        for u, step in _backwards(kept, ctx.steps, ctx.denoise, ctx.draws):
            grad = _pulled_back(grad, u, step, ctx.denoise)
        return grad, None, None, None


@dataclass
class _Noise:
    """The noise of every step, a pure function of image and step; of small images that of several at once.

    Args:
        draws: the images' streams.
        x: the images, `(n, c, h, w)`.
        count: how many steps there are.
        held: the noise of the steps at hand, by the number of the step.
    """

    draws: Draws
    x: Tensor
    count: int
    held: dict[int, Tensor] = field(default_factory=dict)

    def of_step(self, number: int) -> Tensor:
        """The noise of one step, `(n, c, h, w)`."""
        if number not in self.held:
            shape = self.x.shape[1:]
            size = max(1, _DRAWN // max(1, math.prod(shape)))
            # The first step has a stream alone: processes of other lengths share it.
            group = math.ceil(number / size)
            steps = range(max(0, (group - 1) * size + 1), min(group * size + 1, self.count))
            noise = self.draws.stream(group).normal((len(steps), *shape)).to(self.x)
            self.held = dict(zip(steps, noise.unbind(1), strict=True))
        return self.held[number]


def _noisy(x: Tensor, step: Step, noise: _Noise, number: int) -> Tensor:
    return x + step.spread * noise.of_step(number)


def _moved(u: Tensor, step: Step, denoise: Denoise) -> Tensor:
    denoised = denoise(u, step.sigma)
    return denoised if step.share == 1.0 else (1.0 - step.share) * u + step.share * denoised


def _pulled_back(grad: Tensor, u: Tensor, step: Step, denoise: Denoise) -> Tensor:
    """The gradient by the noisy images `u` of a step, given that by what the step makes of them."""
    rest = (1.0 - step.share) * grad
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        try:
            y = clipped_from_inside(lambda u: denoise(u, step.sigma), u)
        except Exception as error:  # it has denoised them before: `u.numpy()` refuses what requires grad
            if ran_out_of_memory(error):
                raise
            return rest
    if not y.requires_grad:
        return rest
    grads: tuple[Tensor | None, ...] = torch.autograd.grad(y, u, step.share * grad, allow_unused=True)
    return rest if grads[0] is None else rest + grads[0]


def _backwards(
    kept: Tensor, steps: Sequence[Step], denoise: Denoise, draws: Draws
) -> Iterator[tuple[Tensor, Step]]:
    """Every step with its noisy images, the last one first; those that were not kept are made anew."""
    apart, noise = _apart(steps), _Noise(draws, kept[0], len(steps))
    for place in reversed(range(len(kept))):
        first, made = place * apart, [kept[place]]
        for number in range(first + 1, min(first + apart, len(steps))):
            x = _moved(made[-1], steps[number - 1], denoise)
            made.append(_noisy(x, steps[number], noise, number))
        while made:
            yield made[-1], steps[first + len(made) - 1]
            made.pop()


def _apart(steps: Sequence[Step]) -> int:
    """How many steps lie between those whose images are kept."""
    return max(1, math.ceil(len(steps) / KEPT))


def _check_sound(sound: Sequence[bool]) -> None:
    """See that images were finite after every step; where they came as NaN, no step is to blame.

    Raises:
        DefenseError: they were not.
    """
    if sound[0] and not all(sound):
        raise DefenseError(
            f"purify: the process gives NaN or infinity at step {sound.index(False)} of {len(sound) - 1}; "
            "the denoiser must give finite images wherever noise leads, outside [0, 1] too."
        )
