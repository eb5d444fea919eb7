"""A defense at a place of the network, with what stands in for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from advbench.defended.backward import BPDA, Map, TrueGradient, identity
from advbench.defended.detector import Column, Detector
from advbench.defended.head import Head
from advbench.defended.substitutes import LEARNED, listed, make_substitute, unwrapped
from advbench.draws.sampling import is_random
from advbench.names.grammar import INPUT


@dataclass(frozen=True)
class Placement:
    """A defense at a place of the network.

    Args:
        defense: any function or module on batches `(n, ...)`; it may name its substitutes (`substitutes`, the
            best known first) or carry one (`substitute`).
        at: `input`, `logits`, or the name of a module as in `model.named_modules()`, whose output is
            defended.
        substitute: what stands in for the defense in BPDA's backward pass; by default what the defense
            names itself, else the identity.
    """

    defense: Callable[..., Tensor]
    at: str = INPUT
    substitute: Map | None = None

    def stage(self, *, bpda: bool) -> nn.Module:
        """The defense as a module, with its substitute's gradient or with its own."""
        if not bpda:
            # A defense that the user has wrapped already still has a gradient of its own.
            return TrueGradient(self.defense.defense if isinstance(self.defense, BPDA) else self.defense)
        if self.detector is not None:
            return BPDA(self.defense, Column(self.chosen_substitute))
        return BPDA(self.defense, self.chosen_substitute)

    @property
    def detector(self) -> Detector | None:
        """The detector that stands there, and changes nothing; None where it is a defense that does."""
        own = unwrapped(self.defense)
        return own if isinstance(own, Detector) else None

    @property
    def modules(self) -> list[nn.Module]:
        """What of it has a state: the defense, and what stands in for it, where these are modules."""
        detector, head = self.detector, unwrapped(self.defense)
        inner: Any = head.function if isinstance(head, Head) else self.defense
        maps: list[Any] = [detector.score] if detector is not None else [inner]
        return [stage for stage in (*maps, self.chosen_substitute) if isinstance(stage, nn.Module)]

    @property
    def abstains(self) -> bool:
        """Whether the defense says that it may give no class, which is NaN."""
        return getattr(unwrapped(self.defense), "abstains", False) is True

    @property
    def as_attacked(self) -> "Placement":
        """What attacks are shown: a defense that abstains would tell them nothing, and they see it decide."""
        if not self.abstains:
            return self
        decided: Any = unwrapped(self.defense)
        return Placement(decided.without_abstaining(), self.at, self.chosen_substitute)

    @property
    def is_random(self) -> bool:
        """Whether the defense says that it draws random numbers."""
        return is_random(self.defense.defense if isinstance(self.defense, BPDA) else self.defense)

    @property
    def chosen_substitute(self) -> Map:
        """What stands in for the defense: what was asked for, else the best known of those that it names.

        A network that is `learned` would have to be fitted first, and is passed over.
        """
        if self.substitute is not None:
            return self.substitute
        own: Map | None = getattr(self.defense, "substitute", None)
        if own is not None:
            return own
        at_hand = [name for name in listed(self.defense) if name != LEARNED]
        return make_substitute(at_hand[0], self.defense) if at_hand else identity


def usual_place(defense: object) -> str:
    """Where a defense stands that is given no place: where it says itself, else at the input."""
    place = getattr(defense, "place", INPUT)
    return place if isinstance(place, str) else INPUT
