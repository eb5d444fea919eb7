"""Where detectors refuse, and whole evaluations behind them: one that falls, one that holds, one of NumPy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import advbench as ab
from advbench.attacks import PGD, Square
from advbench.data.images import LabelledImages
from advbench.defended.detector import Detector
from advbench.defended.model import Placement
from advbench.defended.reject import OUTPUTS, RejectNaN, WithoutRefusal
from advbench.errors import DefenseError
from advbench.evaluation.settle_detectors import Looks, Settlement, settled
from advbench.results.records import REFUSED
from advbench.speed.batch_size import BatchSize
from tests.evaluation.models import Sum, levels

EPS = 0.15


def brightness(x: Tensor) -> Tensor:
    return x.flatten(1).mean(1)


def unsure(logits: Tensor) -> Tensor:
    """Larger where the two largest logits are nearer."""
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return second - first


def off_grid(x: Tensor) -> Tensor:
    """How far a pixel lies off the multiples of 1/16, which all pixels of the digits are."""
    return (16 * x - (16 * x).round()).abs().flatten(1).amax(1)


def contrast(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """In NumPy, without a gradient: how far pixels lie from the mean of their image."""
    found: np.ndarray[Any, Any] = np.abs(x - x.mean((1, 2, 3), keepdims=True)).mean((1, 2, 3))
    return -found


class OffGrid(nn.Module):
    """`off_grid` with a threshold of its own."""

    threshold = 1e-3

    def forward(self, x: Tensor) -> Tensor:
        return off_grid(x)


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, LabelledImages]:
    return ab.load_model(), ab.load_data()


def looks(count: int, images: range, **changes: Any) -> Looks:
    dataset = levels(*torch.linspace(0.0, 1.0, count).tolist())
    settings: dict[str, Any] = {
        "model": Sum(),
        "dataset": dataset,
        "images": images,
        "seed": 0,
        "size": BatchSize(16, lambda _: None),
    }
    return Looks(**{**settings, **changes})


def found_of(looked: Looks, detector: Detector) -> Settlement:
    return settled(looked, {"none": (), "guard": (Placement(detector),)})


@pytest.mark.parametrize("fpr", [0.0, 0.05, 0.1, 0.5])
def test_the_threshold_is_the_least_that_refuses_no_more_than_was_asked(fpr: float) -> None:
    found = found_of(looks(200, range(100)), Detector(brightness, fpr))
    told = found.detecting["guard"][0]
    scores = torch.linspace(0.0, 1.0, 200)[100:]
    assert (told.n, told.attacked, told.fpr) == (100, False, fpr)
    assert told.refused == round(100 * fpr) == int((scores > told.threshold).sum())
    assert found.detecting.keys() == {"guard"}
    assert found.chains["none"] == ()


def test_the_runs_own_images_are_looked_at_where_there_are_too_few_others() -> None:
    told = found_of(looks(100, range(60)), Detector(brightness)).detecting["guard"][0]
    assert (told.n, told.attacked) == (60, True)
    assert "of 60 clean images of the run" in told.sentence


def test_a_threshold_of_its_own_holds_unless_a_rate_is_asked_for() -> None:
    class Own(nn.Module):
        threshold = torch.tensor(0.75)

        def forward(self, x: Tensor) -> Tensor:
            return brightness(x)

    own = found_of(looks(200, range(0, 200, 2)), Detector(Own())).detecting["guard"][0]
    assert (own.threshold, own.fpr) == (0.75, None)
    assert "at the detector's own rate" in own.sentence
    assert found_of(looks(200, range(100)), Detector(Own(), 0.1)).detecting["guard"][0].fpr == 0.1


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_threshold_does_not_depend_on_the_batch(size: int) -> None:
    known = found_of(looks(200, range(100)), Detector(brightness)).detecting
    other = looks(200, range(100), size=BatchSize(size, lambda _: None))
    assert found_of(other, Detector(brightness)).detecting == known


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda x: x, "must return one score an image"),
        (lambda x: brightness(x) * torch.nan, "must give finite scores, got NaN or infinity for 100 of 100"),
        (lambda x: torch.where(brightness(x) > 0.9, torch.inf, 0.0), "got NaN or infinity for"),
    ],
)
def test_a_detector_without_a_score_an_image_is_refused(score: Any, message: str) -> None:
    with pytest.raises(DefenseError, match=message):
        found_of(looks(200, range(100)), Detector(score))


def test_a_detector_that_refuses_most_clean_images_is_refused() -> None:
    class Wrong(nn.Module):
        threshold = 0.6

        def forward(self, x: Tensor) -> Tensor:
            return brightness(x)

    with pytest.raises(
        DefenseError, match=r"refuses 80 of 100 clean images at its threshold 0\.6, more than"
    ):
        found_of(looks(200, range(100)), Detector(Wrong()))


def test_scores_that_hang_on_the_batch_or_on_chance_are_doubted() -> None:
    torch.manual_seed(0)
    by_batch = found_of(looks(200, range(100)), Detector(lambda x: brightness(x) - x.mean())).doubts["guard"]
    assert by_batch == ("an image's score of detector <lambda> depends on its batch",)
    random = found_of(looks(200, range(100)), Detector(lambda x: torch.rand(len(x)))).doubts["guard"]
    assert random == ("detector <lambda> gives the same images other scores each time",)
    assert not found_of(looks(200, range(100)), Detector(brightness)).doubts


def test_a_detector_that_stops_plain_examples_alone_is_called_masked(
    digits: tuple[nn.Module, LabelledImages],
) -> None:
    model, data = digits
    found = ab.evaluate(
        model,
        data,
        threat=ab.Threat("linf", EPS),
        attacks={"pgd": PGD(steps=20, loss="margin")},
        defenses={"guard": Placement(Detector(unsure), "logits")},
        rungs=("static", "bpda", "gradient_free", "worst"),
        substitute="exact",
        gradient_free={"square": Square(queries=50)},
        indices=range(40),
    )
    row = found.rows[1]
    rates = row.rates
    assert rates["static"].count == rates["clean"].count
    assert rates["static"].refused is not None
    assert rates["static"].refused.images == 40
    standing = rates["worst"].count
    fallen = adaptively_fallen(model, data, found.heading.detectors["guard"][0].threshold)
    assert standing <= rates["clean"].count - 0.7 * fallen
    assert row.verdict.startswith("masked: robust only while the attack does not know the detector")
    assert row.success_rate("worst") == (rates["clean"].count - standing) / rates["clean"].count
    assert any("there would be a classifier" in note for note in row.notes) == (standing > 0)


def adaptively_fallen(model: nn.Module, data: LabelledImages, threshold: float) -> int:
    """The truth, in plain PyTorch: ascent on the margin that goes on beyond the boundary."""
    x = torch.stack([data[place][0] for place in range(40)])
    y = torch.tensor([int(data[place][1]) for place in range(40)])
    right = (model(x).argmax(1) == y) & (unsure(model(x)) <= threshold)
    fallen, x_adv = torch.zeros_like(right), x.clone()
    for _ in range(60):
        x_adv.requires_grad_()
        logits = model(x_adv)
        fallen |= (logits.argmax(1) != y) & (unsure(logits) <= threshold)
        others = logits.scatter(1, y[:, None], -torch.inf).amax(1)
        loss = (others - logits.gather(1, y[:, None])[:, 0]).sum()
        (grad,) = torch.autograd.grad(loss, x_adv)
        x_adv = (x_adv.detach() + 0.01 * grad.sign()).clamp(x - EPS, x + EPS).clamp(0.0, 1.0)
    assert int((right & fallen).sum()) > 10
    return int((right & fallen).sum())


def test_a_detector_that_holds_by_construction_is_never_beaten(
    digits: tuple[nn.Module, LabelledImages],
) -> None:
    """Within less than 1/16 a clean image is the only point of the grid."""
    found = ab.evaluate(
        *digits,
        threat=ab.Threat("linf", 0.06),
        attacks={"pgd": PGD(steps=10)},
        defenses={"grid": Detector(OffGrid())},
        rungs=("static", "bpda", "gradient_free"),
        substitute="finite-difference",
        gradient_free={"square": Square(queries=30)},
        indices=range(16),
    )
    row = found.rows[1]
    assert {rate.count for rate in row.rates.values()} == {row.rates["clean"].count}
    assert found.heading.detectors["grid"][0].refused == 0


def test_a_detector_of_numpy_is_felled_through_a_substitute(
    digits: tuple[nn.Module, LabelledImages],
) -> None:
    model, data = digits
    found = ab.evaluate(
        model,
        data,
        threat=ab.Threat("linf", 0.3),
        attacks={"pgd": PGD(steps=10)},
        defenses={"contrast": Detector(contrast)},
        substitute="finite-difference",
        indices=range(16),
    )
    rates = found.rows[1].rates
    assert rates["bpda"].count < 0.5 * rates["clean"].count
    mine = found.samples[(found.samples["defense"] == "contrast") & (found.samples["rung"] == "bpda")]
    fallen = mine[~mine["robust"] & (mine["clean_prediction"] == mine["label"])]
    assert (fallen["prediction"] != REFUSED).all()


@pytest.mark.parametrize("batch_size", [3, 64])
def test_records_do_not_depend_on_the_batch(
    digits: tuple[nn.Module, LabelledImages], batch_size: int
) -> None:
    settings: dict[str, Any] = {
        "threat": ab.Threat("linf", EPS),
        "attacks": {"pgd": PGD(steps=3)},
        "defenses": {"guard": Placement(Detector(unsure), "logits")},
        "rungs": ("static",),
        "indices": range(12),
    }
    found = ab.evaluate(*digits, **settings, batch_size=batch_size)
    known = ab.evaluate(*digits, **settings, batch_size=12)
    assert found.samples.equals(known.samples)
    parts = [
        ab.evaluate(*digits, **{**settings, "indices": part}, observer=ab.Hooks(population=range(12)))
        for part in ([0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11])
    ]
    assert ab.merge(parts).rows == known.rows


def test_a_model_that_answers_nan_refuses_and_is_left_as_it_was() -> None:
    class Nervous(Sum):
        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            return torch.where(logits.abs().amax(1, keepdim=True) < 0.5, torch.nan, logits)

    network = WithoutRefusal(Nervous(), None).train()
    data: TensorDataset = levels(0.1, 0.3, 0.45, 0.7, 0.9)
    found = ab.evaluate(
        network,
        data,
        threat=ab.Threat("linf", 0.25),
        attacks={"pgd": PGD(steps=8)},
        defenses={"own": Placement(Detector(RejectNaN()), OUTPUTS)},
        rungs=("static",),
    )
    clean = found.samples[(found.samples["rung"] == "clean")].set_index(["defense", "index"])
    assert clean.loc[("own", 2), "prediction"] == REFUSED
    assert not clean.loc[("own", 2), "robust"]
    assert not clean.loc[("none", 2), "robust"]
    assert network.training
