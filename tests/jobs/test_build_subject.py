"""What is attacked, from its words: names, images, device, threat and defenses in their places."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advbench.attacks import PGD
from advbench.data.registry import DATASETS
from advbench.defended.model import Placement
from advbench.defenses import BitDepth, Round
from advbench.errors import InputError
from advbench.jobs.build_chain import make_chain
from advbench.jobs.build_subject import (
    add_named,
    choose_device,
    describe,
    describe_own,
    load_subject,
    make_defenses,
    make_threat,
    names_of,
    names_of_classes,
    open_images,
    place_of,
)
from advbench.jobs.objects import Objects
from advbench.jobs.own_images import images_of
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.subject import SubjectOptions
from advbench.runs.manifest import LATER
from advbench.threat.threat import Threat
from tests.small import Network


def options(**said: Any) -> SubjectOptions:
    return RunSettings(**said).subject


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({}, ("digits-cnn", "digits")),
        ({"model": "digits-cnn"}, ("digits-cnn", "digits")),
        ({"dataset": "mnist"}, ("digits-cnn", "mnist")),
        ({"checkpoint": Path("a.pt2"), "dataset": "mnist"}, (None, "mnist")),
        ({"model": "lenet5", "dataset": "mnist"}, ("lenet5", "mnist")),
    ],
)
def test_names_that_are_not_said_are_those_of_the_bundled_model(
    said: dict[str, Any], names: tuple[str | None, str]
) -> None:
    assert names_of(options(**said)) == names


@pytest.mark.parametrize(
    ("said", "threat"),
    [
        ({}, ("linf", DATASETS["digits"].eps)),
        ({"norm": "l2"}, ("l2", DATASETS["digits"].eps_l2)),
        ({"norm": "l1"}, ("l1", DATASETS["digits"].eps_l1)),
        ({"norm": "l2", "eps": "1/4"}, ("l2", "1/4")),
    ],
)
def test_a_radius_that_is_not_said_is_the_data_sets_in_the_norm(
    said: dict[str, Any], threat: tuple[str, str]
) -> None:
    made = make_threat(options(**said), DATASETS["digits"])
    assert (made.norm, made.text) == threat


def test_images_are_the_first_or_a_balanced_sample_or_all() -> None:
    images, every = open_images(options(), "digits")
    assert every == list(range(len(images))) == list(range(360))
    assert open_images(options(first=3), "digits")[1] == [0, 1, 2]
    assert open_images(options(first=10**6), "digits")[1] == every
    sample = open_images(options(limit=20), "digits")[1]
    assert sorted(images.labels[sample].tolist()) == sorted(list(range(10)) * 2)
    own = images_of((torch.zeros(3, 1, 4, 4), torch.tensor([0, 1, 2])))
    assert open_images(options(first=2), "nowhere", own) == (own, [0, 1])


def test_a_place_is_where_and_how_the_words_say(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    place = place_of(options(data_root=tmp_path, split="train", image_size=8, channels=1, classes=names))
    assert (place.root, place.split, place.image_size, place.channels) == (tmp_path, "train", 8, 1)
    assert place.names is not None
    assert (dict(place.names.outputs), place.names.size) == ({"cat": 0, "dog": 1}, 2)
    assert place_of(options()).names is None
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"0": ["n01", "cat"], "1": ["n02", "dog"]}))
    found = names_of_classes(options(class_index=index))
    assert found is not None
    assert found.size == 2


def test_the_device_is_the_one_that_was_asked_for() -> None:
    assert choose_device("cpu", Ranks()) == torch.device("cpu")
    assert choose_device("auto", Ranks()).type in ("cpu", "cuda", "mps")


def test_defenses_stand_in_their_places_and_the_undefended_model_needs_none(network: Network) -> None:
    made = make_defenses(options(defenses=(" round+bit-depth:bits=2@features ", "none")), network)
    chain = (Placement(Round()), Placement(BitDepth(bits=2), at="features"))
    assert made.objects == {"round+bit-depth:bits=2@features": chain}
    first, second = made.settings["round+bit-depth:bits=2@features"]
    assert (first["at"], second["at"], second["bits"]) == ("input", "features", 2)
    assert first["substitutes"] == list(Round.substitutes)
    own = make_defenses(options(defenses=("mine",)), network, {"mine": (Placement(nn.ReLU()),)})
    assert own.settings["mine"][0]["state"] != ""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Fields as attacks and defenses have them."""

    steps: int = 3
    inner: Any = ()
    added: int = field(default=1, metadata={LATER: True})


def test_a_description_has_every_setting_but_later_ones_at_their_default() -> None:
    home = f"{Setting.__module__}.Setting"
    inner = {"steps": 3, "inner": ()}
    assert describe(Setting()) == {"class": home, "steps": 3, "inner": []}
    assert describe(Setting(added=2))["added"] == 2
    nested = describe(Setting(inner=[Setting(), {"a": Setting(added=5)}]))["inner"]
    assert nested == [{**inner, "inner": []}, {"a": {**inner, "inner": [], "added": 5}}]
    assert describe(PGD(steps=5), Threat.parse("linf", "0.1"))["step_size"] == pytest.approx(0.05)
    assert describe(nn.ReLU()) == {"class": "torch.nn.modules.activation.ReLU"}


def test_an_object_has_a_digest_of_what_its_settings_do_not_tell() -> None:
    def coarse(x: Tensor) -> Tensor:
        return x.round()

    assert describe_own(Round()) == describe(Round())
    assert "state" in describe_own(Round(), beside=coarse)
    told = describe_own(coarse)
    assert told["class"] == f"{__name__}.{coarse.__qualname__}"
    assert describe_own(nn.Dropout(0.1)) != describe_own(nn.Dropout(0.2))


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (lambda: names_of(options(model="lenet5")), "name the data set of your model: --dataset digits"),
        (lambda: names_of(options(checkpoint=Path("a.pt"))), "name the data set of your model"),
        (lambda: choose_device("gpu", Ranks()), "--device gpu cannot be used: "),
        (lambda: choose_device("meta:x", Ranks()), "Use auto, cpu, cuda or mps."),
        (lambda: open_images(options(limit=1, first=1), "digits"), "give --limit or --first, not both."),
        (lambda: make_chain("round+none"), "'none' is the undefended model; it stands alone"),
        (lambda: make_chain("rond"), "there is no defense called 'rond'. Did you mean 'round'?"),
        (lambda: make_defenses(options(defenses=("round@x",)), Network()), "x"),
        (
            lambda: make_defenses(options(defenses=("round", " round")), Network()),
            "defense 'round' is given twice.",
        ),
        (lambda: add_named({"a": 1}, "a", 2, "attack"), "attack 'a' is given twice."),
        (
            lambda: names_of_classes(options(classes=Path("a"), class_index=Path("b"))),
            "give --classes or --class-index, not both.",
        ),
    ],
)
def test_what_cannot_be_attacked_is_refused(look: Any, said: str) -> None:
    with pytest.raises(InputError) as refused:
        look()
    assert said in str(refused.value)


def test_a_module_of_the_callers_is_attacked_where_it_is(network: Network) -> None:
    own = images_of((torch.rand(6, 1, 4, 4), torch.tensor([0, 1, 2] * 2)))
    subject = load_subject(
        options(model="Network", dataset="data", first=4), Ranks(), objects=Objects(model=network, images=own)
    )
    assert subject.classifier.model is network
    assert (subject.device.type, subject.indices, len(subject.images)) == ("cpu", [0, 1, 2, 3], 6)
    assert (subject.dataset, subject.threat.text) == ("data", DATASETS["npz"].eps)
