"""What a table says of the surrogate whose gradients its BPDA rungs follow."""

from dataclasses import dataclass
from typing import Final

ENOUGH: Final = 0.9
"""Share of perturbed images on which a surrogate must say what the model says."""

SOFT_STEPS: Final = "soft-steps"
"""The surrogate that is the model itself with soft steps."""

LEFT_OUT: Final = "none"
"""In place of a source: the static rung is left out."""


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How well a surrogate stands in for the model.

    Args:
        name: of the surrogate.
        agreeing: perturbed images on which both predict the same class.
        n: perturbed images that were looked at; 0 before anybody has looked.
        stepwise: whether the model's outputs move in steps.
    """

    name: str
    agreeing: int = 0
    n: int = 0
    stepwise: bool = False

    @property
    def falls_short(self) -> bool:
        """Whether it says too often what the model does not."""
        return self.agreeing < ENOUGH * self.n

    @property
    def sentence(self) -> str:
        """Where the gradients come from, and how alike the two are."""
        if self.name == SOFT_STEPS:
            return (
                "gradients of the BPDA rung are the model's own, with its steps softened by noise "
                f"({SOFT_STEPS}); its forward pass is as it is"
            )
        how = (
            "; the model's outputs move in steps, and attacks see its decision on the surrogate's logits"
            if self.stepwise
            else ""
        )
        return (
            f"gradients of the BPDA rung come from the surrogate {self.name}, which predicts what the model "
            f"predicts on {self.agreeing} of {self.n} perturbed images{how}"
        )

    @property
    def doubt(self) -> str:
        """What a poor likeness means; empty where it is good enough."""
        if not self.falls_short:
            return ""
        return (
            f"the surrogate {self.name} predicts what the model predicts on {self.agreeing} of {self.n} "
            f"perturbed images, fewer than {100 * ENOUGH:.0f} %, so that its gradients may lead elsewhere"
        )
