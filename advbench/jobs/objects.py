"""What a run is given as objects of Python's, where the command line has words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from torch import nn

from advbench.data.images import LabelledImages
from advbench.data.registry import DATASETS, DatasetEntry
from advbench.defended.model import Placement
from advbench.defended.surrogate import Surrogate
from advbench.errors import RunFolderError
from advbench.jobs.state_digest import state_digest
from advbench.threat.attack import Attack

_UNKNOWN_IMAGES: Final[DatasetEntry] = DATASETS["npz"]
"""What is usual for images that could be anything, as for the arrays of a file."""


@dataclass(frozen=True, kw_only=True)
class Objects:
    """What a run is given as objects; everything else is looked up by its words.

    Args:
        model: pixels `(n, c, h, w)` in [0, 1] to logits `(n, k)`.
        images: map-style images with their labels.
        defenses: the defenses in their places, by the names of the table.
        attacks: the attacks, by the names of the table.
        gradient_free: the attack of the gradient-free rung, by its name.
        surrogate: what is differentiated in place of the model, by its name.
        source: what static examples are made on, by its name.
        nameless: those that no words of a command line stand for, so that a verification must be given them.
    """

    model: nn.Module | None = None
    images: LabelledImages | None = None
    defenses: Mapping[str, tuple[Placement, ...]] = field(default_factory=dict)
    attacks: Mapping[str, Attack] = field(default_factory=dict)
    gradient_free: Mapping[str, Attack] = field(default_factory=dict)
    surrogate: Surrogate | None = None
    source: Surrogate | None = None
    nameless: tuple[str, ...] = ()

    @property
    def entry(self) -> DatasetEntry | None:
        """What is usual for the images; None where a word names them."""
        return None if self.images is None else _UNKNOWN_IMAGES

    @cached_property
    def digest(self) -> str:
        """What tells these objects from all others; empty without any."""
        given: tuple[Any, ...] = (
            self.model,
            self.images,
            self.defenses,
            self.attacks,
            self.gradient_free,
            *filter(None, (self.surrogate, self.source)),
        )
        return state_digest(given) if any(thing is not None and thing != {} for thing in given) else ""


NO_OBJECTS: Final = Objects()


def check_given_again(manifest: Mapping[str, Any], objects: Objects, run: object) -> None:
    """Refuse to look for what a run was given as an object: no word names it.

    Args:
        manifest: what the run's `run.json` says.
        objects: what is given now.
        run: the run's folder, for the message.

    Raises:
        RunFolderError: an object is missing.
    """
    recorded_names = manifest.get("objects")
    nameless = (
        [name for name in recorded_names if isinstance(name, str)] if isinstance(recorded_names, list) else []
    )
    given = {f"defense {name}" for name in objects.defenses}
    given |= {"model"} if objects.model is not None else set()
    given |= {"data"} if objects.images is not None else set()
    given |= {"surrogate", "source"}  # which judging does not need
    missing = [name for name in nameless if name not in given]
    if missing:
        raise RunFolderError(
            f"{run} was run from Python with objects that no word names ({', '.join(missing)}). Give them "
            "again: advbench.verify(run, model=..., data=..., defenses={name: ...})."
        )
