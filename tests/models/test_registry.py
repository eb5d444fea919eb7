"""The table of models is literal: every entry loads, and torchvision's classifiers stand beside it."""

import inspect

import pytest
import torchvision.models

from advbench.models.network import WEIGHTS, find_model
from advbench.models.registry import IMAGENET, MODELS, PIXELS, torchvision_models
from advbench.names.registry import parameters


def test_every_classifier_of_torchvision_is_known() -> None:
    names = torchvision.models.list_models(module=torchvision.models)
    assert len(names) > 70
    for name in names:
        entry = find_model(name)
        assert entry is not None
        assert entry.normalization == IMAGENET


def test_no_name_of_torchvision_hides_a_built_in_one() -> None:
    assert not MODELS.keys() & torchvision_models().keys()


@pytest.mark.parametrize("name", MODELS)
def test_an_entry_loads_what_it_names_and_takes_a_number_of_classes(name: str) -> None:
    entry = MODELS[name]
    factory = entry.load()
    assert f"{inspect.getmodule(factory).__name__}:{factory.__name__}" == entry.factory  # type: ignore[union-attr]  # has one
    taken = parameters(factory)["num_classes"]
    assert (taken.annotation, taken.default) == (int, 10)
    assert entry.summary
    assert entry.source
    assert entry.weights is None or (WEIGHTS / entry.weights).is_file()


def test_the_constants_are_the_published_ones() -> None:
    """ImageNet's are of three channels; pixels are what they are."""
    assert IMAGENET.mean == (0.485, 0.456, 0.406)
    assert IMAGENET.std == (0.229, 0.224, 0.225)
    assert [(0.25 - PIXELS.mean[0]) / PIXELS.std[0]] == [0.25]
    ours = {name: entry.normalization for name, entry in MODELS.items()}
    assert [name for name, constants in ours.items() if constants == IMAGENET] == [
        f"resnet{depth}" for depth in (20, 32, 44, 56)
    ]
