"""How a model that adapts at test time is judged: a defense that stands for the adaptation of the model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from advbench.defended.substitutes import unwrapped
from advbench.names.adaptation import Attackers, Protocol, declared
from advbench.names.grammar import Spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from advbench.defended.model import Placement


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """A model adapts in batches of a declared size; without this defense it is its static network.

    A map that changes nothing: what changes is the model behind it (`Adapting`). Croce et al. 2022,
    "Evaluating the adversarial robustness of adaptive test-time defenses".

    Args:
        protocol: `episodic`, each batch finds the model in its initial state; or `stream`, as the batch
            before has left it.
        batch: images of a batch, in the order of the run; the last batch may have fewer.
        attacked: all images of a `batch` are attacked together (transductive), or `one` in a clean batch
            (inductive).
    """

    substitutes: ClassVar[tuple[str, ...]] = ("unadapted",)

    protocol: Protocol
    batch: int
    attacked: Attackers = "batch"

    def __call__(self, x: Tensor) -> Tensor:
        """The images as they are."""
        return x

    def unadapted(self, x: Tensor) -> Tensor:
        """The images as they are: the gradient passes by the adaptation, through its network (`Gradient`)."""
        return x

    @property
    def sentence(self) -> str:
        """How the row was judged, for people."""
        begin = {
            "episodic": "the model begins each batch in its initial state",
            "stream": "the model goes on from batch to batch",
        }[self.protocol]
        attacked = {
            "batch": "all images of a batch that are right when clean are attacked and judged together "
            "(transductive)",
            "one": "each image is attacked and judged in a batch whose other images are clean (inductive)",
        }[self.attacked]
        return f"{self.protocol}: {begin}, {self.batch} images in the order of the run; {attacked}"


def adaptation_of(spec: Spec) -> Adaptation:
    """The defense that an element of a chain stands for.

    Raises:
        SpecError: parameters that it cannot take.
    """
    batch, attacked = declared(spec)
    return Adaptation(
        protocol="stream" if spec.name == "stream" else "episodic", batch=batch, attacked=attacked
    )


def adaptation_in(chain: "Iterable[Placement]") -> Adaptation | None:
    """How a chain says that the model adapts; None where it does not."""
    for placement in chain:
        own = unwrapped(placement.defense)
        if isinstance(own, Adaptation):
            return own
    return None
