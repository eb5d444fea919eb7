"""Libraries that are as small as the real ones are large, for tests that need none installed."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Attack, Threat, evaluate
from advbench.attacks import ATTACKS
from advbench.names import registry
from advbench.names.grammar import parse_spec

THREAT = Threat("linf", 0.1)
FAR = "torchattacks:Fake:alpha=0.9"

Behaviour = Callable[["FakeAttack", Tensor, Tensor], Any]


class FakeAttack:
    """What torchattacks' base class is to its attacks."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model


def ascend(attack: Any, x: Tensor, y: Tensor) -> Tensor:
    """One step of length `alpha` along the gradient's sign, without any projection."""
    x = x.clone().requires_grad_()
    loss = nn.functional.cross_entropy(attack.model(x), y, reduction="sum")
    (grad,) = torch.autograd.grad(loss, x)
    stepped: Tensor = x + attack.alpha * grad.sign()
    return stepped.detach()


def fake_torchattacks(patch: pytest.MonkeyPatch, behaviour: Behaviour = ascend) -> None:
    """A torchattacks with the attacks `Fake`, that behaves as it is told, and `CW`, known to be in L2."""

    class Fake(FakeAttack):
        def __init__(  # type: ignore[no-untyped-def]  # as in torchattacks
            self, model, eps=8 / 255, alpha=2 / 255, steps=10, seed=0, n_classes=10, loss="ce", extra=()
        ) -> None:
            super().__init__(model)
            self.eps, self.alpha, self.steps, self.seed, self.n_classes = eps, alpha, steps, seed, n_classes

        def __call__(self, x: Tensor, y: Tensor) -> Any:
            return behaviour(self, x, y)

    class CW(Fake):
        pass

    class MultiAttack(FakeAttack):
        pass

    base = ModuleType("torchattacks.attack")
    vars(base).update(Attack=FakeAttack)
    top = ModuleType("torchattacks")
    vars(top).update(Fake=Fake, CW=CW, MultiAttack=MultiAttack, attack=base)
    for module in (top, base):
        patch.setitem(sys.modules, module.__name__, module)


def fake_libraries(patch: pytest.MonkeyPatch) -> None:
    """All three."""
    fake_torchattacks(patch)
    fake_foolbox(patch)
    fake_art(patch)


def fake_foolbox(patch: pytest.MonkeyPatch) -> list[Any]:
    """A foolbox with one attack of each kind; the list notes the radii that they are called with."""
    radii: list[Any] = []

    class Base(ABC):
        distance: Any = SimpleNamespace(p=np.inf)

        @abstractmethod
        def run(self) -> None: ...

        def __call__(self, model: nn.Module, x: Tensor, y: Tensor, *, epsilons: float | None) -> Any:
            radii.append(epsilons)
            return x + (9.0 if epsilons is None else epsilons), x, torch.ones_like(y).bool()

    class Runs:
        def run(self) -> None: ...

    class FixedEpsilonAttack(Base):
        pass

    class LinfFixed(Runs, FixedEpsilonAttack):
        pass

    class LinfMinimal(Runs, Base):
        pass

    class L2Minimal(Runs, Base):
        distance = SimpleNamespace(p=2)

    class AnyMinimal(Runs, Base):
        def __init__(self, *, distance: Any = None) -> None:
            self.distance = distance

    class HopSkipJumpAttack(Runs, Base):
        def __init__(self, constraint: str = "l2") -> None:
            self.distance = SimpleNamespace(p={"linf": np.inf, "l2": 2}[constraint])

    classes = (LinfFixed, LinfMinimal, L2Minimal, AnyMinimal, HopSkipJumpAttack)
    attacks = ModuleType("foolbox.attacks")
    vars(attacks).update({each.__name__: each for each in classes}, Attack=Base)
    vars(attacks).update(base=SimpleNamespace(FixedEpsilonAttack=FixedEpsilonAttack))
    top = ModuleType("foolbox")
    orders = {"linf": np.inf, "l2": 2, "l1": 1}
    distances = SimpleNamespace(**{name: SimpleNamespace(p=p) for name, p in orders.items()})
    vars(top).update(attacks=attacks, distances=distances, PyTorchModel=lambda model, **_: model)
    for module in (top, attacks):
        patch.setitem(sys.modules, module.__name__, module)
    return radii


def fake_art(patch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """An ART whose attacks return the clean images; the list notes what their constructors are given."""
    noted: list[dict[str, Any]] = []

    class Noting:
        def __init__(self, estimator: Any, **given: Any) -> None:
            noted.append({**given, "estimator": estimator})

        def generate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
            assert isinstance(x, np.ndarray)
            assert isinstance(y, np.ndarray)
            return x

    class ProjectedGradientDescent(Noting):
        def __init__(
            self,
            estimator: "UnknownAtRunTime",  # type: ignore[name-defined]  # noqa: F821  # as in ART
            norm: int | float | str = np.inf,
            eps: float = 0.3,
            eps_step: float = 0.1,
            max_iter: int = 100,
            batch_size: int = 32,
            verbose: bool = True,
        ) -> None:
            given = {"norm": norm, "eps": eps, "eps_step": eps_step, "max_iter": max_iter}
            super().__init__(estimator, **given, batch_size=batch_size, verbose=verbose)

    class AutoProjectedGradientDescent(ProjectedGradientDescent):
        pass

    class SquareAttack(ProjectedGradientDescent):
        pass

    class AdversarialPatch(Noting):
        pass

    kinds = (ProjectedGradientDescent, AutoProjectedGradientDescent, SquareAttack, AdversarialPatch)
    top, attacks, evasion = (ModuleType(each) for each in ("art", "art.attacks", "art.attacks.evasion"))
    vars(evasion).update({each.__name__: each for each in kinds})
    estimators = ModuleType("art.estimators")
    classification = ModuleType("art.estimators.classification")
    vars(classification).update(PyTorchClassifier=SimpleNamespace)
    for module in (top, attacks, evasion, estimators, classification):
        patch.setitem(sys.modules, module.__name__, module)
    return noted


def named(text: str) -> Attack:
    """The attack that a command line calls so."""
    spec = parse_spec(text)
    attack: Attack = registry.build(registry.find(ATTACKS, spec.name, "attack").load(), spec, "attack")
    return attack


def classified(model: nn.Module) -> TensorDataset:
    """Twenty images of 4x4 pixels with the labels that the model gives them."""
    x = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, model(x).argmax(1))


def count(model: nn.Module, data: TensorDataset, attack: str = FAR, threat: Threat = THREAT) -> int:
    """How many of the images an attack leaves standing."""
    found = evaluate(model, data, threat=threat, attacks={attack: named(attack)}, batch_size=20)
    return found.rows[0].rates["shattered"].count
