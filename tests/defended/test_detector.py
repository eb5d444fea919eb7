"""Detectors by themselves: scores, thresholds, and the joint logits that an attack sees."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advbench import DefendedModel, Placement
from advbench.defended.detector import Detector, Settled, detector_of, joint_logits, refused_by
from advbench.errors import DefenseError, SpecError
from advbench.names.grammar import Spec


def brightness(x: Tensor) -> Tensor:
    return x.flatten(1).mean(1)


def brightness_of_arrays(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = x.mean((1, 2, 3), dtype=np.float64)
    return found


def made_for(model: nn.Module, factor: float = 1.0) -> Any:
    return lambda x: factor * model(x)[:, 0]


class Zeros(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :2] * 0.0


def settled(threshold: float, score: Any = brightness, weight: float = 1.0) -> Detector:
    return Detector(score, settled=Settled(threshold=threshold, spread=0.5, weight=weight))


@pytest.mark.parametrize("score", [brightness, brightness_of_arrays, lambda x: brightness(x)[:, None]])
def test_scores_are_a_column_in_the_images_type(score: Any) -> None:
    x = torch.rand(3, 1, 2, 2)
    scores = Detector(score)(x)
    assert (scores.shape, scores.dtype) == ((3, 1), torch.float32)
    assert torch.allclose(scores[:, 0], brightness(x))


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda x: x, r"must return one score an image, \(3,\) for 3 images, got shape \(3, 1, 2, 2\)"),
        (lambda x: x.sum(), r"got shape \(\)"),
        (lambda _: 0.5, "must return a tensor or an array, got float"),
        (lambda x: brightness(x)[:2], r"got shape \(2,\)"),
    ],
)
def test_anything_but_a_score_an_image_is_refused(score: Any, message: str) -> None:
    with pytest.raises(DefenseError, match=message):
        Detector(score)(torch.rand(3, 1, 2, 2))


def test_scores_that_float32_cannot_tell_apart_are_refused_and_others_are_not() -> None:
    x = torch.rand(8, 1, 4, 4)
    with pytest.raises(DefenseError, match="float32 cannot tell"):
        Detector(lambda x: 1e9 + x.double().flatten(1).mean(1))(x)
    with pytest.raises(DefenseError, match="float32 cannot tell"):
        Detector(lambda x: 2**40 + (100 * x.flatten(1).mean(1)).long())(x)
    assert Detector(lambda x: x.double().flatten(1).mean(1))(x).shape == (8, 1)
    assert Detector(lambda x: torch.zeros(len(x)).double())(x).shape == (8, 1)


def test_the_judge_takes_no_score_that_is_nan() -> None:
    detector = replace(Detector(lambda x: x.flatten(1).mean(1).log()), settled=Settled(threshold=0.0))
    model = DefendedModel(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), [Placement(detector)])
    assert model.answers(torch.ones(2, 1, 2, 2)).refused is not None
    with pytest.raises(DefenseError, match="gives NaN for 1 of 2 images"):
        model.answers(torch.stack([torch.ones(1, 2, 2), -torch.ones(1, 2, 2)]))


@pytest.mark.parametrize("fpr", [-0.1, 0.6, float("nan")])
def test_a_detector_may_refuse_half_of_the_clean_images_at_most(fpr: float) -> None:
    with pytest.raises(DefenseError, match="fpr must be the share of clean images"):
        Detector(brightness, fpr)


def test_a_threshold_that_is_no_number_is_refused() -> None:
    score = partial(brightness)
    score.threshold = "high"  # type: ignore[attr-defined]  # an attribute as a user sets it
    with pytest.raises(DefenseError, match="threshold of detector brightness must be a number, got 'high'"):
        _ = Detector(score).own_threshold


def test_only_scores_up_to_the_threshold_are_accepted_and_nan_never() -> None:
    scores = torch.tensor([[0.4], [0.5], [0.6], [torch.nan], [-torch.inf]])
    assert refused_by([settled(0.5)], scores).tolist() == [False, False, True, True, False]


def test_one_of_several_detectors_is_enough_to_refuse() -> None:
    scores = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert refused_by([settled(0.5), settled(0.7)], scores).tolist() == [False, True, True]


@pytest.mark.parametrize("label", [0, 1, 3])
def test_another_class_is_predicted_exactly_where_an_image_is_accepted_and_wrong(label: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(500, 4, generator=generator)
    scores = torch.randn(500, 2, generator=generator)
    detectors = [settled(0.3, weight=7.0), settled(-0.2)]
    joint = joint_logits(detectors, logits, scores, label)
    succeeds = (logits.argmax(1) != label) & ~refused_by(detectors, scores)
    assert ((joint.argmax(1) != label) == succeeds).all()
    assert succeeds.any()
    accepted = ~refused_by(detectors, scores)
    assert torch.equal(joint[accepted], logits[accepted])


def test_the_joint_margin_of_a_refused_image_grows_as_its_score_falls() -> None:
    logits = torch.tensor([[1.0, 4.0]]).expand(3, 2)
    joint = joint_logits([settled(0.0)], logits, torch.tensor([[3.0], [1.0], [0.1]]), label=0)
    margins = joint[:, 1] - joint[:, 0]
    assert (margins < 0).all()
    assert margins.tolist() == sorted(margins.tolist())


def test_a_model_tells_scores_only_when_asked_and_the_judge_the_decision() -> None:
    x = torch.stack([torch.full((1, 2, 2), value) for value in (0.2, 0.9)])
    model = DefendedModel(Zeros(), [Placement(settled(0.5))])
    assert model(x).shape == (2, 2)
    assert torch.allclose(model.with_scores()(x)[:, 2], torch.tensor([0.2, 0.9]))
    said = model.answers(x)
    assert said.logits.shape == (1, 2, 2)
    assert said.refused is not None
    assert said.refused.tolist() == [[False, True]]
    assert model.against(0)(x).argmax(1).tolist() == [0, 0]
    assert DefendedModel(Zeros(), []).answers(x).refused is None


def test_a_detector_reads_its_place_and_changes_nothing() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2)).eval()
    x = torch.rand(5, 1, 2, 2)
    score = Detector(lambda z: z[:, 1])
    for place, seen in (("1", network[:2](x)[:, 1]), ("logits", network(x)[:, 1])):
        model = DefendedModel(network, [Placement(score, at=place)])
        assert torch.equal(model(x), network(x))
        assert torch.allclose(model.with_scores()(x)[:, 2], seen)


def test_words_become_a_score_what_makes_one_or_what_makes_one_for_a_model() -> None:
    x = torch.rand(2, 1, 2, 2)
    assert torch.equal(detector_of(brightness, Spec("f:brightness"))(x)[:, 0], brightness(x))
    assert detector_of(lambda: brightness, Spec("f:make")).__name__ == "make"
    found = detector_of(made_for, Spec("f:made_for", {"factor": "2"}))
    assert found.of_model
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval().requires_grad_(False)
    bound = found.bound(model)
    assert torch.allclose(bound(x)[:, 0], 2 * model(x)[:, 0])
    assert bound.__name__ == "made_for"


@pytest.mark.parametrize(
    ("thing", "parameters", "message"),
    [
        (3, {}, "detector 'f:x' is no function or class, but int"),
        (Zeros(), {"k": "1"}, "is made already and takes no parameters"),
        (brightness, {"k": "1"}, "detector 'f:x' has no parameter 'k'"),
    ],
)
def test_what_is_no_detector_is_refused(thing: Any, parameters: dict[str, str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        detector_of(thing, Spec("f:x", parameters))


def test_what_makes_a_detector_and_fails_says_why() -> None:
    def make(model: nn.Module) -> Any:
        raise KeyError("features")

    with pytest.raises(SpecError, match="detector make failed: KeyError: 'features'"):
        Detector(make, of_model=True).bound(Zeros())
    with pytest.raises(SpecError, match="must make a function on batches, got 3"):
        Detector(lambda model: 3, of_model=True).bound(Zeros())
