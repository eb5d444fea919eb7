"""The strongest attack that a model allows: by its gradients, by its scores, or by its classes alone."""

from typing import Final, Literal, get_args

from advbench.errors import SpecError, nearest
from advbench.threat.attack import Attack

from .hard_label import HardLabel
from .suites import strongest
from .tabu import Tabu

Gives = Literal["gradients", "scores", "labels"]

CANNOT: Final[dict[Gives, str]] = {
    "gradients": "",
    "scores": "the model gives no gradient, so that no attack has followed one: tabu, by scores alone",
    "labels": "the model gives classes alone, so that nothing has followed gradients or scores: hard-label",
}
"""What a row is to say of what could not be done."""


def auto(*, gives: Gives = "gradients", steps: int = 50, queries: int = 5000) -> Attack:
    """The strongest attack for what a model gives; a run finds out by itself, where a spec does not say.

    Args:
        gives: `gradients` (then `strongest`), `scores` (`tabu`), or `labels` (`hard-label`).
        steps: gradient steps, as those of `strongest`.
        queries: forward passes an image; `strongest` takes three fifths of them.

    Raises:
        SpecError: something else that a model might give, or a number outside its range.
    """
    match gives:
        case "gradients":
            return strongest(steps=steps, queries=max(1, queries * 3 // 5))
        case "scores":
            return Tabu(queries=queries)
        case "labels":
            return HardLabel(queries=queries)
        case _:
            raise SpecError(f"auto: there is no gives={gives}. {nearest(gives, get_args(Gives))}")
