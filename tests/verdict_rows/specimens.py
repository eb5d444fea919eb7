"""What a row is: a classifier behind what defends it, its truth, and how that is known."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

from torch import Tensor, nn

from advbench import Threat
from advbench.evaluation.plan import Chain

from .networks import held_out, network
from .truths import Scores, left_by_own_attack

Truth = Literal["stands", "falls", "hides", "no function", "chance"]

EPS: Final = 0.15
Images = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """A classifier behind what defends it.

    Args:
        name: what it is.
        truth: `stands` where more than a third of what is right when clean stands; `falls` where it does not
            and the gradient shows it; `hides` where the gradient does not; `no function` where an answer
            depends on more than the image; `chance` where the classifier knows nothing.
        model: makes the network.
        left: how many images stand, by a bound or by an attack of our own; None where nothing can be said.
        defenses: what stands before or inside; none where the network itself is judged.
        threat: what an adversary may do.
        images: and their labels.
        settings: of the evaluation.
        unseen: whether the row was written after the thresholds, and judged once before anything was changed.
    """

    name: str
    truth: Truth
    model: Callable[[], nn.Module]
    left: Callable[[], int] | None = None
    defenses: dict[str, Chain] = field(default_factory=dict)
    threat: Threat = field(default_factory=lambda: Threat("linf", EPS))
    images: Callable[[], Images] = held_out
    settings: dict[str, Any] = field(default_factory=dict)
    unseen: bool = False


def attacked(
    surrogate: Callable[[], Scores], judge: Callable[[], Scores] | None = None, eps: float = EPS
) -> Callable[[], int]:
    """The count of an own attack along a surrogate, by default on the surrogate itself."""

    def left() -> int:
        return left_by_own_attack((judge or surrogate)(), surrogate(), held_out(), eps)

    return left


def itself(name: str, truth: Truth, model: Callable[[], nn.Module], eps: float = EPS) -> Specimen:
    """A network that is attacked along its own gradient."""
    threat = Threat("linf", eps)
    return Specimen(name=name, truth=truth, model=model, left=attacked(model, eps=eps), threat=threat)


def inside(name: str, model: Callable[[], nn.Module], surrogate: Callable[[], Scores]) -> Specimen:
    """A network that hides its gradient by itself, and the surrogate that shows it."""
    return Specimen(name=name, truth="hides", model=model, left=attacked(surrogate, model))


def with_defense(name: str, truth: Truth, defense: Any, surrogate: Scores | None = None) -> Specimen:
    """A user's defense before the plain network; along its own gradient, or along a surrogate for both."""

    def defended() -> Scores:
        return lambda x: network("bundled")(defense(x))

    return Specimen(
        name=name,
        truth=truth,
        model=partial(network, "bundled"),
        defenses={"own": defense},
        left=attacked((lambda: surrogate) if surrogate is not None else defended, defended),
    )
