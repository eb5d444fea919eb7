"""What the attacks of ART are made with: norm, radius, step, the whole batch, a classifier of our model."""

import pytest
import torch
from torch import nn

from advbench import Draws, Threat
from tests.attacks.fakes import THREAT, classified, count, fake_art, named


def test_art_gets_norm_radius_step_and_the_whole_batch(
    linear_model: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = fake_art(monkeypatch)
    threat = Threat("l2", 0.6)
    for text in ("ProjectedGradientDescent:max_iter=10", "AutoProjectedGradientDescent"):
        count(linear_model, classified(linear_model), f"art:{text}", threat)
    classifier = noted[0].pop("estimator")
    assert noted[0] == {
        "norm": 2,
        "eps": 0.6,
        "eps_step": pytest.approx(0.15),
        "max_iter": 10,
        "batch_size": 20,
        "verbose": False,
    }
    assert noted[1]["eps_step"] == pytest.approx(0.2), "ART's own share of eps, which the attack adapts"
    assert (classifier.nb_classes, classifier.input_shape) == (3, (1, 4, 4))
    assert classifier.clip_values == (0.0, 1.0)


def test_what_the_user_gives_comes_before_what_the_run_would_give(
    linear_model: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = fake_art(monkeypatch)
    x, y, draws = torch.rand(3, 1, 4, 4), torch.tensor([0, 1, 2]), Draws(0, torch.arange(3))
    attack = named("art:ProjectedGradientDescent:eps_step=0.01,batch_size=2,max_iter=0")
    attempt = attack(linear_model, x, y, THREAT, draws)
    assert (noted[0]["eps_step"], noted[0]["batch_size"], noted[0]["max_iter"]) == (0.01, 2, 0)
    assert torch.equal(attempt.x_adv, x)
    assert attempt.queries.tolist() == [1, 1, 1], "one for the number of classes"
