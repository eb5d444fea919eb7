"""What is differentiated, and what examples are made on, in place of a model: from words to networks."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from advbench.data.images import LabelledImages
from advbench.data.registry import DatasetEntry
from advbench.defended.model import network_of
from advbench.defended.normalized import Normalized
from advbench.defended.own_functions import needs_an_argument
from advbench.defended.surrogate import DISTILLED, MADE_BY_RUNS, Function, StandIns, Surrogate
from advbench.errors import AdvbenchError, ModelError, SpecError
from advbench.jobs.classifier import Classifier, load_classifier
from advbench.jobs.settings.subject import SubjectOptions
from advbench.jobs.state_digest import state_digest
from advbench.models.network import find_model
from advbench.models.registry import PIXELS
from advbench.names import registry
from advbench.names.grammar import Spec, parse_spec
from advbench.names.user_code import (
    as_own_program,
    check_there,
    failure_sentence,
    load_object,
    names_user_code,
)
from advbench.results.surrogates import LEFT_OUT, SOFT_STEPS

_CHECKPOINT: Final = "checkpoint"
_MODEL: Final = "model"


def settings_of(stand_ins: StandIns) -> dict[str, Any]:
    """What stands in for a model, for `run.json`; nothing where nothing does."""
    surrogate, source = stand_ins.named
    entries = {
        name: _told(one) for name, one in (("surrogate", surrogate), ("source", source)) if one is not None
    }
    return {**entries, **({"source": {"name": LEFT_OUT}} if stand_ins.without_static else {})}


def _told(given: Surrogate) -> dict[str, Any]:
    state = {} if given.network is None else {"state": state_digest(given.network)}
    return {"name": given.name, **state}


def check_words(surrogate: str | None, source: str | None, model: str | None) -> None:
    """See whether words name what there is, before anything is loaded.

    Raises:
        InputError: they do not.
    """
    if surrogate is not None and surrogate not in MADE_BY_RUNS:
        spec = _surrogate_spec(surrogate)
        check_there(spec.name)
        if model is not None and parse_spec(model).name == spec.name:
            raise SpecError(
                f"--surrogate {surrogate} is the model itself, whose own gradient the shattered rung "
                "follows: give another one."
            )
    if source is not None and source != LEFT_OUT:
        spec = parse_spec(source)
        if names_user_code(spec.name):
            check_there(spec.name)
        find_model(spec.name)


def _surrogate_spec(word: str) -> Spec:
    spec = parse_spec(word)
    if not names_user_code(spec.name):
        raise SpecError(
            f"a surrogate is {DISTILLED}, {SOFT_STEPS}, or code of your own, file.py:soft_model or "
            f"package.module:soft_model; got {word!r}."
        )
    if spec.place is not None:
        raise SpecError(f"a surrogate stands for the whole model and has no place, got {word!r}.")
    return spec


def make_surrogate(
    word: str | None, own: Surrogate | None, classifier: Classifier, device: torch.device, classes: int
) -> Surrogate | None:
    """The surrogate that a word names, behind the model's normalisation, or the caller's own.

    A module and a function of a batch are the surrogate. A class, and a function that needs no argument or
    takes `model`, makes it; `model` is given the user's own network, without its normalisation, and
    `num_classes` the number of classes.

    Args:
        word: `distill`, `soft-steps`, `file.py:soft_model` or `package.module:soft_model`; None for none.
        own: an object that was given in Python, called by the word.
        classifier: what it stands in for.
        device: where it goes.
        classes: how many classes the data set has.

    Raises:
        InputError: nothing that can be a surrogate.
    """
    if own is not None and own.network is not None:
        return Surrogate(own.name, own.network.to(device))
    if word is None:
        return None
    if word in MADE_BY_RUNS:
        return Surrogate(word, None)
    spec = _surrogate_spec(word)
    made = _made(spec, network_of(classifier.model), classes)
    constants = classifier.normalization
    if constants != PIXELS:
        made = Normalized(made, constants.mean, constants.std)
    return Surrogate(str(spec), made.to(device))


def _made(spec: Spec, network: nn.Module, classes: int) -> nn.Module:
    thing = load_object(spec.name)
    if isinstance(thing, nn.Module) or not callable(thing):
        if spec.parameters or not callable(thing):
            what = "is made already and takes no parameters" if callable(thing) else "cannot be called"
            raise SpecError(f"surrogate {spec.name!r} {what}: {type(thing).__name__}.")
        return thing  # type: ignore[no-any-return]  # a module
    known = registry.parameters(thing)
    is_function = not inspect.isclass(thing) and needs_an_argument(thing) and _MODEL not in known
    if is_function:
        others = dict(list(known.items())[1:])
        given = registry.converted(spec, others, "surrogate", takes_more=registry.takes_more(thing))
        return Function(partial(thing, **given) if given else thing)
    given = registry.arguments(thing, spec, "surrogate", model=network, num_classes=classes)
    return _called(partial(thing, **given), spec.name)


def _called(factory: Callable[[], Any], name: str) -> nn.Module:
    try:
        with as_own_program(name):
            made = factory()
    except AdvbenchError:
        raise
    except (Exception, SystemExit) as error:  # the user's factory may raise anything
        raise ModelError(f"{name} failed: {failure_sentence(error, name)}") from error
    if isinstance(made, nn.Module):
        return made
    if not callable(made) or inspect.isclass(made):
        raise ModelError(f"{name} must return a torch.nn.Module or a function, got {type(made).__name__}.")
    return Function(made)


def make_source(  # noqa: PLR0917  # what a source is made of
    word: str | None,
    own: Surrogate | None,
    options: SubjectOptions,
    classifier: Classifier,
    data: tuple[LabelledImages, DatasetEntry, list[int]],
    device: torch.device,
) -> Surrogate | None:
    """The network that static examples are made on, or the caller's own; None for none.

    Code of the user's own stands behind the model's normalisation, a model that has a usual one behind that.

    Args:
        word: a model's name, with `checkpoint=FILE` among its parameters where its weights are in a file.
        own: an object that was given in Python, called by the word.
        options: how the run's model is loaded.
        classifier: the run's model.
        data: the data set, what is usual for it, and the indices of the images that are evaluated.
        device: where it goes.

    Raises:
        InputError: a model that cannot be loaded.
    """
    if own is not None and own.network is not None:
        return Surrogate(own.name, own.network.to(device))
    if word is None or word == LEFT_OUT:
        return None
    spec = parse_spec(word)
    parameters = {name: text for name, text in spec.parameters.items() if name != _CHECKPOINT}
    path = spec.parameters.get(_CHECKPOINT)
    mean, std = options.mean, options.std
    if names_user_code(spec.name):
        mean, std = (
            ",".join(map(repr, part))
            for part in (classifier.normalization.mean, classifier.normalization.std)
        )
    source_options = replace(
        options,
        checkpoint=None if path is None else Path(path),
        weights=None,
        mean=mean,
        std=std,
        normalization=None if mean is not None else options.normalization,
        members=(),
        smooth=None,
        random_model=False,
        reject_class=None,
        untrained=False,
        black_box=False,
        black_box_form=None,
    )
    name = str(replace(spec, parameters=parameters))
    images, entry, indices = data
    loaded, _ = load_classifier(source_options, name, entry, images, device, indices=indices)
    return Surrogate(str(spec), loaded.model)
