"""Losses against their formulas, written out a second time."""

import pytest
import torch

from advbench.threat.losses import cross_entropy, logit_difference, margin

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 3.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 2])


def test_cross_entropy_is_the_negative_log_probability() -> None:
    probabilities = LOGITS.exp() / LOGITS.exp().sum(1, keepdim=True)
    expected = torch.tensor([-probabilities[0, 0].log(), -probabilities[1, 2].log()], dtype=torch.float64)
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS), expected)


def test_the_margin_is_the_best_other_logit_minus_the_labels() -> None:
    torch.testing.assert_close(
        margin(LOGITS, LABELS), torch.tensor([0.5 - 2.0, 3.0 - 3.0], dtype=torch.float64)
    )


def test_the_logit_difference_compares_with_a_fixed_rival() -> None:
    rivals = torch.tensor([1, 0])
    expected = torch.tensor([-1.0 - 2.0, 0.0 - 3.0], dtype=torch.float64)
    torch.testing.assert_close(logit_difference(LOGITS, LABELS, rivals), expected)


@pytest.mark.parametrize("loss", [cross_entropy, margin])
def test_gradients_agree_with_finite_differences(loss: object) -> None:
    assert callable(loss)
    logits = torch.randn(
        4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    assert torch.autograd.gradcheck(lambda z: loss(z, torch.tensor([0, 1, 2, 3])), logits)
