"""What a name stands for: the same objects that a run would work with."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import advbench as ab
from advbench.attacks import APGD, PGD
from advbench.defenses import BitDepth, Round
from advbench.errors import KeywordError, SpecError
from tests.small import Network


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_models_and_images_are_loaded_as_a_run_would(untouched: None) -> None:
    model, data = ab.load_model(), ab.load_data(limit=20)
    assert not model.training
    assert len(data) == len(data.labels) == 20
    x, y = data[3]
    assert (x.shape, y) == ((1, 8, 8), data.labels[3])
    with torch.no_grad():
        x = torch.stack([data[index][0] for index in range(20)])
        assert (model(x).argmax(1).numpy() == data.labels).mean() > 0.9
    assert len(ab.load_data(split="train")) == 1437
    run = ab.run(model=model, data=data, steps=1)
    assert run.rows[0].n == 20


def test_a_chosen_part_of_the_images_keeps_their_labels_and_classes() -> None:
    whole, part = ab.load_data(), ab.load_data(limit=7, seed=3)
    assert part.classes == whole.classes
    assert len({int(label) for label in part.labels}) == 7, "of as many classes as there can be"
    for index in range(7):
        x, label = part[index]
        assert label == part.labels[index]
        (place,) = (at for at in range(len(whole)) if whole.labels[at] == label and whole[at][0].equal(x))
        assert whole.labels[place] == label
    assert len(ab.load_data(first=10**6)) == len(whole)


def test_a_module_that_is_given_stays_as_it_is(network: Network) -> None:
    data = (torch.rand(4, 1, 4, 4), torch.zeros(4, dtype=torch.int64))
    assert ab.load_model(network, data=data) is network
    assert network.training


@pytest.mark.parametrize(
    ("made", "attack"),
    [
        (ab.attack("pgd"), PGD()),
        (ab.attack("pgd:steps=3"), PGD(steps=3)),
        (ab.attack("pgd", steps=3, random_start=False), PGD(steps=3, random_start=False)),
        (ab.attack("apgd:steps=5,restarts=2", steps=7), APGD(steps=7, restarts=2)),
    ],
)
def test_an_attack_is_its_word_with_its_parameters(made: Any, attack: Any) -> None:
    assert made == attack


def test_a_defense_is_its_chain_in_its_places() -> None:
    assert ab.defense("round:step=0.5") == (ab.Placement(Round(step=0.5)),)
    assert ab.defense("bit-depth:bits=2@logits+round") == (
        ab.Placement(BitDepth(bits=2), at="logits"),
        ab.Placement(Round()),
    )


def test_names_that_stand_for_nothing_are_refused() -> None:
    for wrong, said in (
        (lambda: ab.attack("pdg"), "there is no attack called 'pdg'. Did you mean 'pgd'"),
        (lambda: ab.attack("pgd@logits"), "an attack has no place, got 'pgd@logits'."),
        (lambda: ab.attack("pgd", stepps=3), "stepps"),
        (lambda: ab.defense("rond"), "there is no defense called 'rond'. Did you mean 'round'?"),
        (lambda: ab.defense("none"), "'none' is the undefended model; it stands alone"),
    ):
        with pytest.raises(SpecError) as refused:
            wrong()
        assert said in str(refused.value)
    with pytest.raises(KeywordError, match=r"advbench\.load_model\(\) has no keyword 'moddel'"):
        ab.load_model(moddel="lenet5")
    assert isinstance(ab.load_model(), nn.Module)
