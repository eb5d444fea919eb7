"""How long a sweep would take, from a short probe of each model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from advbench.data.batches import read_batch
from advbench.data.load import find_dataset
from advbench.defended.gradient import seconds_a_gradient
from advbench.defended.left_as_found import prepared
from advbench.jobs.build_attacks import gradient_free_attack, label_only_attack, rungs_of
from advbench.jobs.build_subject import (
    choose_device,
    names_of,
    open_images,
)
from advbench.jobs.classifier import load_classifier
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.in_files import settings_from
from advbench.jobs.settings.subject import SubjectOptions
from advbench.jobs.sweep.cells import NOWHERE, Cell
from advbench.results.records import UNDEFENDED
from advbench.speed.attack_cost import gradient_passes
from advbench.threat.threat import Threat

_IMAGES: Final = 64  # at a time
_ROUNDS: Final = 3


class Estimates:
    """What cells would cost if every image stood to the end; each model is probed once.

    Images that fall leave, and the clean pass is not counted, so the truth is mostly less.
    """

    def __init__(self) -> None:
        self.known: dict[SubjectOptions, float] = {}

    def seconds(self, cell: Cell) -> float | None:
        """Of one cell; None for an attack whose steps cannot be told.

        Raises:
            InputError: a model or data set that cannot be loaded.
        """
        passes = gradient_passes(cell.made)
        if passes is None:
            return None
        options = settings_from(cell.shared, NOWHERE)
        subject = replace(options.subject, norm="linf", eps=None)  # which a pass does not depend on
        if subject not in self.known:
            self.known[subject] = _seconds_a_pass(subject)
        defended = cell.defense != UNDEFENDED
        rungs = rungs_of(options)
        passes *= 2 if "bpda" in rungs and defended else 1
        if "gradient_free" in rungs:
            passes += gradient_passes(gradient_free_attack(options)[1]) or 0.0
        if "label_only" in rungs:
            labels = label_only_attack(options, Threat("linf", 1.0)).objects
            passes += sum(gradient_passes(attack) or 0.0 for attack in labels.values())
        return self.known[subject] * passes * (options.eot if cell.is_random else 1)


def spoken(seconds: float) -> str:
    """A time as people say it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1g} s"


def _seconds_a_pass(options: SubjectOptions) -> float:
    """A forward and a backward pass of the undefended model over all images."""
    model, dataset = names_of(options)
    images, indices = open_images(options, dataset)
    device = choose_device(options.device, Ranks())
    classifier, images = load_classifier(
        options, model, find_dataset(dataset), images, device, indices=indices
    )
    x = read_batch(images, indices[:_IMAGES]).to(device).x
    with prepared(classifier.model):
        times = _times(classifier.model, x)
    return min(times) / len(x) * len(indices)


def _times(model: Any, x: Any) -> Sequence[float]:
    seconds_a_gradient(model, x)  # the first wakes libraries up
    return [seconds_a_gradient(model, x) for _ in range(_ROUNDS)]
