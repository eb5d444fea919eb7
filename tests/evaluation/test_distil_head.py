"""A network learned for a head breaks it where its own gradient, and differences, find nothing."""

import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch.utils.data import TensorDataset

import advbench as ab
from advbench.attacks import PGD
from advbench.evaluation.observer import Hooks
from advbench.results.verdict import UNLIKE_HEAD


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = load_digits()
    return torch.tensor(data.images[:, None] / 16).float(), torch.tensor(data.target)


def test_nearest_neighbours_fall_to_what_is_learned_of_them() -> None:
    net, (x, y) = ab.load_model("digits-cnn").eval(), digits()
    head = KNeighborsClassifier(5).fit(ab.features(net, x[:1400], "layer3"), y[:1400])
    told: list[str] = []
    found = ab.evaluate(
        net,
        TensorDataset(x[1400:1440], y[1400:1440]),
        threat=ab.Threat("linf", 0.15),
        attacks={"pgd": PGD(steps=20)},
        defenses={"nearest": ab.Placement(ab.Head(head, name="nearest"), at="layer3")},
        substitute="learned",
        observer=Hooks(note=told.append),
    )
    row = found.rows[1]
    assert row.rates["shattered"].count == row.rates["clean"].count >= 38
    assert row.rates["bpda"].count <= 16
    assert any(text.startswith("the network learned for head nearest decides alike on") for text in told)


def test_a_head_that_nothing_can_learn_is_told_in_the_row() -> None:
    net, (x, _y) = ab.load_model("digits-cnn").eval(), digits()

    def of_bits(features: torch.Tensor) -> torch.Tensor:
        return (features * 1e4).round().sum(1).long() % 10

    found = ab.evaluate(
        net,
        TensorDataset(x[:16], of_bits(ab.features(net, x[:16]))),
        threat=ab.Threat("linf", 0.1),
        attacks={"pgd": PGD(steps=1)},
        defenses={"bits": ab.Placement(ab.Head(of_bits, classes=10), at="logits")},
        substitute="learned",
    )
    assert UNLIKE_HEAD in found.rows[1].warnings
