"""What a run is given as objects: told apart by a digest, and asked for again where no word names them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from advbench.attacks import PGD
from advbench.data.registry import DATASETS
from advbench.defended.model import Placement
from advbench.defenses import BitDepth, Round
from advbench.errors import RunFolderError
from advbench.jobs.objects import NO_OBJECTS, Objects, check_given_again
from advbench.jobs.own_images import images_of
from tests.small import Network

IMAGES = images_of((torch.zeros(2, 1, 4, 4), torch.tensor([0, 1])))


def test_without_objects_there_is_no_digest_and_no_entry() -> None:
    assert (NO_OBJECTS.digest, NO_OBJECTS.entry) == ("", None)
    assert Objects(defenses={}, nameless=("model",)).digest == ""


def test_images_of_ones_own_are_attacked_as_arrays_of_a_file() -> None:
    assert Objects(images=IMAGES).entry is DATASETS["npz"]


def test_other_objects_have_another_digest_and_equal_ones_the_same(network: Network) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"model": None},
        {"images": None},
        {"images": images_of((torch.ones(2, 1, 4, 4), torch.tensor([0, 1])))},
        {"defenses": {"mine": (Placement(BitDepth()),)}},
        {"defenses": {"other": (Placement(Round()),)}},
        {"attacks": {"pgd": PGD(steps=3)}},
        {"gradient_free": {"pgd": PGD()}},
    ]
    whole = Objects(
        model=network, images=IMAGES, defenses={"mine": (Placement(Round()),)}, attacks={"pgd": PGD()}
    )
    digests = [replace(whole, **change).digest for change in changes]
    assert len(set(digests)) == len(changes)
    assert [replace(whole, **change).digest for change in changes] == digests
    assert replace(whole, nameless=("model",)).digest == digests[0]


@pytest.mark.parametrize(
    ("said", "objects", "missing"),
    [
        (None, NO_OBJECTS, ""),
        (["model", "data"], Objects(images=IMAGES), "model"),
        (["data", "defense mine"], NO_OBJECTS, "data, defense mine"),
        (["data", "defense mine"], Objects(images=IMAGES, defenses={"mine": ()}), ""),
        (["defense mine"], Objects(defenses={"other": ()}), "defense mine"),
        ("model", NO_OBJECTS, ""),
        ([3, {"model": 1}], NO_OBJECTS, ""),
    ],
)
def test_a_run_asks_again_for_what_no_word_names(said: Any, objects: Objects, missing: str) -> None:
    manifest = {"objects": said}
    if not missing:
        check_given_again(manifest, objects, Path("run"))
        return
    with pytest.raises(RunFolderError) as refused:
        check_given_again(manifest, objects, Path("run"))
    assert f"run was run from Python with objects that no word names ({missing})." in str(refused.value)
