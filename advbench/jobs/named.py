"""What a name stands for, as an object: models, images, attacks and defenses."""

from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import Subset

from advbench.attacks import ATTACKS
from advbench.data.images import LabelledImages
from advbench.defended.model import Placement
from advbench.errors import SpecError
from advbench.jobs.build_chain import make_chain
from advbench.jobs.build_subject import load_subject, names_of, open_images
from advbench.jobs.left_as_found import left_as_found
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.keywords import said_in_keywords
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.watcher import Unwatched, Watcher
from advbench.names import registry
from advbench.names.grammar import Spec, parse_spec
from advbench.threat.attack import Attack

from .call_keywords import read_keywords


def load_model(
    model: Any = None, *, data: Any = None, watcher: Watcher | None = None, **settings: Any
) -> nn.Module:
    """The model that `run` would attack: pixels `(n, c, h, w)` in [0, 1] to logits `(n, k)`.

    Args:
        model: as in `run`; the bundled digits model by default.
        data: as in `run`: the images tell how many classes there are, and which normalisation the weights
            need where nothing else tells it.
        watcher: is told in sentences how the weights and the normalisation were understood.
        settings: those of `run` that say what the model is: `checkpoint`, `weights`, `mean`, `std`, `device`.

    Returns:
        The network behind its normalisation, in evaluation mode; a module that is given stays as it is.

    Raises:
        InputError: whatever is wrong, in one line.
    """
    run_settings, objects = read_keywords("load_model", {"model": model, "data": data, **settings})
    watcher = watcher or Unwatched()
    with said_in_keywords(RunSettings), left_as_found():
        classifier = load_subject(run_settings.subject, Ranks(), run_settings.batch_size, objects).classifier
    for note in (*classifier.remarks, *classifier.all_notes):
        watcher.note(note)
    return classifier.model if objects.model is not None else classifier.model.eval()


def load_data(data: Any = None, **settings: Any) -> LabelledImages:
    """The images that `run` would attack: `images[i]` is (pixels `(c, h, w)` in [0, 1], label).

    Args:
        data: as in `run`; scikit-learn's digits by default.
        settings: those of `run` that say which images are meant: `data_root`, `split`, `limit`, `first`, ...

    Returns:
        A map-style data set with all its `labels` `(n,)` and the names of its `classes`.

    Raises:
        InputError: whatever is wrong, in one line.
    """
    run_settings, objects = read_keywords("load_data", {"data": data, **settings})
    with said_in_keywords(RunSettings), left_as_found():
        word = run_settings.subject.dataset or names_of(run_settings.subject)[1]
        images, indices = open_images(run_settings.subject, word, objects.images)
    if len(indices) == len(images):
        return images
    chosen = np.asarray(indices, dtype=np.int64)
    part: Any = Subset(images.images, indices)  # type: ignore[arg-type]  # a data set without torch's base class
    return LabelledImages(part, images.labels[chosen], images.classes, images.outputs)


def attack(name: str, **parameters: Any) -> Attack:
    """The attack that a word names: `attack("apgd:steps=50")` or `attack("apgd", steps=50)`.

    Raises:
        SpecError: an attack that there is not, or a parameter that it does not have.
    """
    spec = parse_spec(name)
    if spec.place is not None:
        raise SpecError(f"an attack has no place, got {name!r}.")
    whole = Spec(spec.name, {**spec.parameters, **{key: str(value) for key, value in parameters.items()}})
    made: Attack = registry.build(registry.find(ATTACKS, spec.name, "attack").load(), whole, "attack")
    return made


def defense(name: str) -> tuple[Placement, ...]:
    """The defenses that a word names, in their places: `defense("jpeg:quality=50+round@layer2")`.

    Returns:
        The elements of the chain in their order, as `run` and `evaluate` take them.

    Raises:
        SpecError: a defense that there is not, or a parameter that it does not have.
    """
    return make_chain(name)
