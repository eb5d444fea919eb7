"""The judge: what counts as fallen, by a fresh pass, whatever an attack claims."""

import numpy as np
import pytest
import torch
from torch import Tensor

from advbench import Threat
from advbench.results.judging import Judge
from advbench.results.records import UNDECIDED
from advbench.threat.judge import fooled, judge, predict, vote

NAN, INF = torch.nan, torch.inf
THREAT = Threat("linf", 0.1)


@pytest.mark.parametrize(
    ("draws", "prediction", "share"),
    [
        ([0, 0, 0], 0, 0.0),
        ([0, 1, 0], 0, 1 / 3),
        ([0, 1, 2], 1, 2 / 3),
        ([2, 1, 2], 2, 1.0),
        ([0, 0, 1, 1], 0, 0.5),
        ([-1, -1, 1], -1, 1 / 3),
        ([-1, 1, 1], 1, 2 / 3),
        ([-1, -1, -1], -1, 0.0),
        ([1], 1, 1.0),
    ],
)
def test_the_majority_of_the_draws_decides(draws: list[int], prediction: int, share: float) -> None:
    found = vote(torch.tensor(draws).view(-1, 1), torch.tensor([0]))
    assert int(found.prediction) == prediction
    assert float(found.fooled_share) == pytest.approx(share)


def test_an_example_outside_the_ball_fools_nobody_however_many_draws_it_has() -> None:
    logits = torch.tensor([[[0.0, 1.0]]]).expand(5, 1, 2)
    x = torch.full((1, 1, 2, 2), 0.5)
    assert judge(logits, x + 0.2, x, torch.tensor([0]), Threat("linf", 0.1)).robust.all()
    assert not judge(logits, x + 0.1, x, torch.tensor([0]), Threat("linf", 0.1)).robust.any()


@pytest.mark.parametrize(
    ("row", "prediction"),
    [
        ([0.0, 2.0, 1.0], 1),
        ([1.0, 1.0, 0.0], 0),
        ([-INF, -INF, -1.0], 2),
        ([0.0, INF, 1.0], 1),
        ([9.0, 0.0, NAN], UNDECIDED),
    ],
)
def test_a_prediction_is_the_first_of_the_largest_logits_and_none_beside_a_nan(
    row: list[float], prediction: int
) -> None:
    found = predict(torch.tensor([row, [0.0, 0.0, 5.0]]))
    assert found.tolist() == [prediction, 2]


def test_only_another_class_fools() -> None:
    assert fooled(torch.tensor([0, 1, UNDECIDED]), torch.tensor([0, 0, 0])).tolist() == [False, True, False]


def tenth(row: list[float]) -> Tensor:
    return torch.tensor(row).view(1, 1, 1, 2)


@pytest.mark.parametrize(
    ("pixels", "logits", "robust"),
    [
        ([0.5, 0.6], [0.0, 1.0], False),
        ([0.5, 0.6], [1.0, 0.0], True),
        ([0.5, 0.6], [1.0, 1.0], True),
        ([0.5, 0.6], [NAN, 1.0], True),
        ([0.5, 0.61], [0.0, 1.0], True),
        ([0.5, NAN], [0.0, 1.0], True),
        ([0.5, 0.4], [0.0, INF], False),
    ],
)
def test_an_image_falls_to_an_allowed_example_of_another_class_alone(
    pixels: list[float], logits: list[float], robust: bool
) -> None:
    found = judge(torch.tensor([[logits]]), tenth(pixels), tenth([0.5, 0.5]), torch.tensor([0]), THREAT)
    assert found.robust.tolist() == [robust]


@pytest.mark.parametrize("pixels", [[0.0, -0.01], [1.01, 0.95]])
def test_what_lies_in_the_ball_but_no_longer_in_the_box_is_not_allowed(pixels: list[float]) -> None:
    x = tenth(pixels).clamp(0.0, 1.0)
    found = judge(torch.tensor([[[0.0, 1.0]]]), tenth(pixels), x, torch.tensor([0]), THREAT)
    assert (found.robust.tolist(), found.fooled_share.tolist()) == ([True], [1.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_distance_are_those_of_the_draws_by_hand(dtype: torch.dtype) -> None:
    logits = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    x = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    y = torch.tensor([0, 1, 2, 0, 1])
    found = judge(logits, 0.5 * x, x, y, THREAT)
    z = logits.double().numpy()
    losses = np.log(np.exp(z).sum(2)) - z[:, np.arange(5), y.numpy()]
    np.testing.assert_allclose(found.loss.numpy(), losses.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.distance.numpy(), 0.5 * x.flatten(1).amax(1).numpy(), rtol=1e-6)
    assert found.fooled_share.tolist() == pytest.approx((z.argmax(2) != y.numpy()).mean(0).tolist())


@pytest.mark.parametrize(
    ("draws", "rule", "prediction", "fell", "share"),
    [
        ([0, 0, 0, 1, 0], "any:3", 0, False, 0.2),
        ([0, 0, 1, 0, 0], "any:3", 1, True, 0.2),
        ([2, 1, 2, 0, 0], "any:3", 2, True, 0.6),
        ([1, 1, 0, 0, 0], "any:1", 1, True, 0.4),
        ([0, -1, -1, 1, 1], "any:3", -1, False, 0.4),
        ([0, 0, 0, 0, 0, 0, 1], "any:7", 1, True, 0.0),
        ([0, 0, 0, 0, 0, 1, 0], "any:6", 1, True, 0.0),
        ([0, 1, 1, 0, 1], "mean", 1, True, 0.6),
        ([0, 1, 1, 0, 0], "mean", 0, False, 0.4),
        ([1], "fixed-seed", 1, True, 1.0),
    ],
)
def test_resubmission_counts_the_first_draws_and_the_share_those_of_the_judge(
    draws: list[int], rule: str, prediction: int, fell: bool, share: float
) -> None:
    found = vote(torch.tensor(draws).view(-1, 1), torch.tensor([0]), Judge(rule, 5))
    assert (int(found.prediction), bool(found.fooled)) == (prediction, fell)
    assert float(found.fooled_share) == pytest.approx(share)


def test_the_loss_and_the_share_are_those_of_the_majority_whatever_the_rule() -> None:
    logits = torch.randn(9, 6, 3, generator=torch.Generator().manual_seed(3))
    x, y = torch.rand(6, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2])
    plain = judge(logits[:5], x, x, y, THREAT)
    found = judge(logits, x, x, y, THREAT, rule=Judge("any:9", 5))
    torch.testing.assert_close(found.loss, plain.loss, rtol=0, atol=0)
    torch.testing.assert_close(found.fooled_share, plain.fooled_share, rtol=0, atol=0)
    wrong = (logits.argmax(2) != y).any(0)
    assert found.robust.tolist() == (~wrong).tolist()
