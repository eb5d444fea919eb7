"""Attacks for the smallest perturbation: the exact distance on linear models, also where the box binds."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Attack, Draws, Normalized, Threat, evaluate
from advbench.attacks import FAB, FMN, PGD
from advbench.threat.judge import fooled, predict
from advbench.threat.threat import Norm
from tests.attacks.counted import Counted, Model
from tests.attacks.test_hyperplane import smallest

NORMS: list[Norm] = ["linf", "l2", "l1"]
EXACT: dict[str, Attack] = {"fab": FAB(targets=2), "fab-20": FAB(steps=20, targets=2), "fmn": FMN(targets=2)}


def linear(d: int, classes: int = 3, seed: int = 0) -> tuple[nn.Linear, Model]:
    torch.manual_seed(seed)
    head = nn.Linear(d, classes)
    return head, lambda x: head(x.flatten(1) - 0.5)


def distances(head: nn.Linear, model: Model, x: Tensor, y: Tensor, norm: Norm) -> list[float]:
    """Each image's exact distance to another class, by a solver; inf where the box has no such point."""
    weight, logits = head.weight.detach().double().numpy(), model(x).detach()
    found = []
    for row in range(len(x)):
        label, sizes = int(y[row]), [math.inf]
        for rival in set(range(len(weight))) - {label}:
            need = float(logits[row, label] - logits[row, rival])
            size = smallest(norm, x[row].flatten().double().numpy(), weight[rival] - weight[label], need)
            sizes.append(math.inf if size is None else size)
        found.append(min(sizes))
    return found


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("spread", [0.02, 1.0])
def test_on_linear_models_the_exact_distance_is_found(norm: Norm, name: str, spread: float) -> None:
    head, model = linear(8)
    x = 0.5 + spread * (torch.rand(12, 1, 2, 4, generator=torch.Generator().manual_seed(3)) - 0.5)
    with torch.no_grad():
        y = model(x).argmax(1)
        attempt = EXACT[name](model, x, y, Threat(norm, 0.001), Draws(0, torch.arange(12)))
        fell = fooled(predict(model(attempt.x_adv)), y)
    exact = torch.tensor(distances(head, model, x, y, norm))
    assert fell.sum() >= 8
    assert torch.equal(fell, exact.isfinite())
    size = Threat(norm, 1.0).distance(attempt.x_adv, x)
    torch.testing.assert_close(size[fell], exact[fell], atol=1e-3, rtol=0.0)
    assert (size[fell] >= exact[fell] - 1e-5).all()


def test_the_table_tells_the_median_of_what_was_found_at_any_radius() -> None:
    head, model = linear(8)
    x = 0.5 + 0.02 * (torch.rand(12, 1, 2, 4, generator=torch.Generator().manual_seed(3)) - 0.5)
    y = model(x).argmax(1)
    y[:2] = (y[:2] + 1) % 3  # misclassified as they are
    threat, data = Threat("l2", 0.001), TensorDataset(x, y)
    network = nn.Sequential(Normalized(nn.Flatten(), (0.5,), (1.0,)), head)
    attacks: dict[str, Attack] = {"fab": FAB(targets=2), "pgd": PGD(steps=3)}
    fab, pgd = (
        row.rates["shattered"] for row in evaluate(network, data, threat=threat, attacks=attacks).rows
    )
    exact = sorted([0.0, 0.0, *distances(head, model, x[2:], y[2:], "l2")])
    assert fab.count == 10
    assert fab.median == pytest.approx((exact[5] + exact[6]) / 2, abs=1e-3)
    assert pgd.median is None, "what stands against it has no known distance"


@pytest.mark.parametrize("attack", [FAB(steps=30, early_stop=True), FMN(steps=30, early_stop=True)])
def test_with_early_stop_an_image_leaves_when_its_perturbation_fits(attack: Attack) -> None:
    _, model = linear(8)
    x = torch.rand(12, 1, 2, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        y = model(x).argmax(1)
    threat = Threat("linf", 0.1)
    short = attack(model, x, y, threat, Draws(0, torch.arange(12)))
    fits = threat.contains(short.x_adv, x) & (short.x_adv != x).flatten(1).any(1)
    assert 0 < fits.sum() < 12
    assert int(short.steps[fits].max()) < int(short.steps[~fits].min())


def test_costs_are_counted_pass_by_pass() -> None:
    _, model = linear(8)
    x = torch.rand(1, 1, 2, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        y = model(x).argmax(1)
    for attack in (FAB(steps=7, targets=2), FMN(steps=7), FMN(steps=7, targets=2)):
        counted = Counted(model)
        attempt = attack(counted, x, y, Threat("l2", 0.01), Draws(0, torch.arange(1)))
        assert int(attempt.queries) == len(counted.sizes)
        assert int(attempt.steps) == (14 if isinstance(attack, FAB) or attack.targets else 7)
