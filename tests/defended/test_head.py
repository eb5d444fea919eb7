"""Heads: what classifies by features in the place of the rest of the network."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from advbench.defended.head import Head, head_of
from advbench.defended.model import DefendedModel, Placement
from advbench.errors import DefenseError, SpecError
from advbench.names.grammar import Spec

MEANS = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 2.0]])


def nearest(features: Tensor) -> Tensor:
    return torch.cdist(features, MEANS).argmin(1)


def on_arrays(features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    distances: np.ndarray[Any, Any] = np.abs(features[:, :1] - np.arange(3.0))
    return -distances


class Soft:
    classes = 3

    def __call__(self, features: Tensor) -> Tensor:
        return nearest(features)

    def soft(self, features: Tensor) -> Tensor:
        return -torch.cdist(features, MEANS)


class Net(nn.Module):
    """Features that the network goes on with in place."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Linear(2, 5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.act(self.body(x)))
        return logits


def test_labels_arrays_and_scores_all_come_to_scores() -> None:
    x = torch.tensor([[0.1, 0.0], [0.9, 1.2]])
    assert torch.equal(Head(nearest, classes=3)(x), torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    assert Head(on_arrays)(x).argmax(1).tolist() == [0, 1]
    assert Head(Soft().soft)(x).shape == (2, 3)
    assert torch.equal(Head(Soft())(x.view(2, 2, 1, 1)), Head(Soft())(x))


def test_a_head_lists_what_may_stand_in_for_it() -> None:
    fitted = KNeighborsClassifier(1, metric="manhattan").fit(MEANS.numpy(), [0, 1, 2])
    assert Head(fitted).substitutes == ("learned", "finite-difference")
    assert Head(nearest, classes=3).substitutes == ("learned", "exact", "finite-difference")
    soft = Head(Soft())
    assert soft.substitutes == ("soft", "learned", "exact", "finite-difference")
    assert soft.soft is not None
    assert soft.soft(MEANS.view(3, 2, 1)).argmax(1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("bpda", [False, True])
def test_a_head_replaces_what_is_behind_its_place(bpda: bool) -> None:
    torch.manual_seed(0)
    net, x = Net(), torch.rand(4, 1, 2, 2, requires_grad=True)
    head = Head(Soft())
    placed = Placement(head, at="body", substitute=head.soft)
    model = DefendedModel(net, [placed], bpda=bpda)
    scores = model(x)
    assert torch.equal(scores, head(net.body(x).detach()))
    assert scores.shape == (4, 3)
    assert net(x).shape == (4, 5)
    (grad,) = torch.autograd.grad((scores * torch.randn(4, 3)).sum(), x)
    assert bool((grad != 0).any()) is bpda


def test_a_head_at_the_logits_reads_these() -> None:
    net, x = Net(), torch.rand(4, 1, 2, 2)
    model = DefendedModel(net, [Placement(Head(lambda z: z[:, :2]), at="logits")])
    assert torch.equal(model(x), net(x)[:, :2])


def test_a_module_that_is_called_twice_is_no_place_for_a_head() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.act(self.act(x))
            return logits

    with pytest.raises(DefenseError, match="calls its module 'act' more than once"):
        DefendedModel(Twice(), [Placement(Head(lambda z: z), at="act")])(torch.rand(2, 3))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda _: torch.zeros(3, 2), "must return scores"),
        (lambda f: f[:, 0], "must return scores"),
        (lambda _: "cat", "must return a tensor or an array, got str"),
        (lambda f: f / 0.0, "must give finite scores, got NaN or infinity for 2 of 2"),
        (nearest, "gives labels: say how many classes there are"),
        (partial(lambda c, f: torch.full((len(f),), c), 7), "say how many"),
    ],
)
def test_a_head_that_breaks_its_word_is_refused(function: Any, said: str) -> None:
    with pytest.raises(DefenseError, match=said):
        Head(function)(torch.rand(2, 2) - 2.0)


def test_labels_that_there_are_not_are_refused() -> None:
    with pytest.raises(DefenseError, match="gives labels 0 to 1, and the classes are 0 to 0"):
        Head(nearest, classes=1)(MEANS[:2])


def test_a_head_that_fails_is_named() -> None:
    def fails(features: Tensor) -> Tensor:
        raise ValueError("no features")

    with pytest.raises(
        DefenseError, match=r"head fails failed on features of shape \(2, 2\): ValueError: no"
    ):
        Head(fails)(torch.rand(2, 2))
    with pytest.raises(DefenseError, match="a head must be a function on features"):
        Head(3)


def test_words_make_heads_by_what_they_name() -> None:
    def of_model(model: nn.Module, k: int = 1) -> Any:
        return KNeighborsClassifier(k).fit(MEANS.numpy(), [0, 1, 2])

    made = head_of(of_model, Spec("h.py:of_model", {"k": "2"})).bound(Net())
    assert made.function.n_neighbors == 2
    assert made.__name__ == "of_model"
    assert head_of(Soft, Spec("h.py:Soft")).__name__ == "Soft"
    assert head_of(nearest, Spec("h.py:nearest")).function is nearest
    with pytest.raises(SpecError, match="is made already"):
        head_of(Soft(), Spec("h.py:s", {"k": "2"}))
    with pytest.raises(SpecError, match="no parameter 'k'"):
        head_of(nearest, Spec("h.py:nearest", {"k": "2"}))
