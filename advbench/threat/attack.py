"""What the core expects of an attack."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

from advbench.draws.draws import Draws
from advbench.threat.threat import Threat


class Attempt(NamedTuple):
    """What an attack hands back: its best iterates and what they cost, never whether they succeeded."""

    x_adv: Tensor
    """Best iterate of each image, `(n, c, h, w)`, in [0, 1]; the harness projects it into the ball. An attack
    for the smallest perturbation returns that, also where it does not fit."""
    steps: Tensor
    """Gradient passes spent on each image, `(n,)` int64."""
    queries: Tensor
    """Forward passes spent on each image, those of the gradient passes included, `(n,)` int64."""
    flat: Tensor
    """Whether the attack wanted a gradient and met none but zero, NaN or infinite ones, `(n,)` bool."""
    late_gain: Tensor | None = None
    """Share of the whole rise of each image's best loss that came in the last 10 gradient steps, `(n,)` in
    [0, 1]; NaN where it took no more than these, None where an attack does not tell."""
    losses: Tensor | None = None
    """The attack's loss at each image's best iterate after `records.LOSS_MARKS` gradient passes and at last,
    `(n, len(LOSS_COLUMNS))`; NaN at marks that it did not reach, None where an attack does not tell."""


class Attack(Protocol):
    """A way to look for adversarial examples; its settings are fixed when it is made.

    It may say of itself, as attributes of its class: `chunked = True`, that it takes gradients by
    `loss_and_gradient` alone, so that it may be given more images than go through the network together;
    `bfloat16 = True`, that a gradient and a loss of 8 bits are enough for it; `tells_rows = True`, that every
    call of a random model is with all images of the batch in their order, or by `model.showing(rows)` with
    those at some places. Only then do an image's draws follow the number of the pass, and not the last bits
    of an iterate.
    """

    def __call__(
        self, model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, threat: Threat, draws: Draws
    ) -> Attempt:
        """Look for adversarial examples.

        Args:
            model: pixels `(n, c, h, w)` to logits `(n, k)`, to be differentiated as it is.
            x: clean images in [0, 1], all classified correctly.
            y: labels, `(n,)`.
            threat: the ball to stay in; the harness projects again and judges by itself.
            draws: the images' random streams; an attack draws from nothing else.
        """
        ...


def is_chunked(attack: Attack) -> bool:
    """Whether an attack's memory for the network does not grow with its batch; see `Attack`."""
    return getattr(attack, "chunked", False) is True


def tolerates_bfloat16(attack: Attack) -> bool:
    """Whether an attack can do with a network in bfloat16; see `Attack`."""
    return getattr(attack, "bfloat16", False) is True


def tells_rows(attack: Attack) -> bool:
    """Whether an attack says which images it shows a random model; see `Attack`."""
    return getattr(attack, "tells_rows", False) is True
