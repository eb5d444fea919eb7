"""Evasion attacks of the Adversarial Robustness Toolbox (Nicolae et al. 2018)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from torch import Tensor, nn

from advbench.defended.gradient import Model
from advbench.draws.draws import Draws
from advbench.threat.attack import Attack, Attempt
from advbench.threat.threat import Norm, Threat

from .constructor import defaults_of, factory_of
from .external import Case, Library, attempt, check_norm, class_count, pick, step_share
from .watched import Watched

ART: Final = Library(name="art", module="art.attacks.evasion", distribution="adversarial-robustness-toolbox")

_EVERY = ("linf", "l2", "l1")
# Those of its attacks that fool image classifiers with perturbations that are small in a norm: most others
# make patches, hide malware, or turn sounds, and SimBA asks for probabilities.
_NORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "AutoAttack": ("linf", "l2"),  # its Square knows no other
    "AutoConjugateGradient": _EVERY,
    "AutoProjectedGradientDescent": _EVERY,
    "BasicIterativeMethod": ("linf",),
    "BoundaryAttack": ("l2",),
    "CarliniL2Method": ("l2",),
    "CarliniLInfMethod": ("linf",),
    "DeepFool": ("l2",),
    "ElasticNet": ("l1", "l2"),
    "FastGradientMethod": _EVERY,
    "GeoDA": _EVERY,
    "HopSkipJump": ("linf", "l2"),
    "MomentumIterativeMethod": _EVERY,
    "NewtonFool": ("l2",),
    "ProjectedGradientDescent": _EVERY,
    "RescalingAutoConjugateGradient": _EVERY,
    "SignOPTAttack": ("l2",),
    "SquareAttack": ("linf", "l2"),
    "ZooAttack": ("l2",),
}
_ORDERS: Final[Mapping[Norm, float]] = {"linf": math.inf, "l2": 2, "l1": 1}

_OWN_STEPS = ("AutoConjugateGradient", "AutoProjectedGradientDescent", "RescalingAutoConjugateGradient")
"""Attacks that only begin with the step that they are given."""


def art_attack(name: str) -> Callable[..., Attack]:
    """A factory of the attack of ART that is called `name`.

    Raises:
        InputError: ART is not installed, or has no such attack.
    """
    module = ART.load()
    offered = {name: getattr(module, name) for name in _NORMS if hasattr(module, name)}
    kind = pick(ART.name, name, offered, dir(module))

    def make(settings: dict[str, Any]) -> Attack:
        return ARTAttack(name=name, settings=settings, version=ART.version)

    return factory_of(f"art:{name}", kind, make)


@dataclass(frozen=True, kw_only=True)
class ARTAttack:
    """An evasion attack of ART, untargeted, on pixels in [0, 1].

    Radius and norm are the threat's. A step `eps_step` is 2.5 * eps / max_iter; for attacks that choose
    their steps by themselves, and those without a number of steps, it is a third of eps, as in ART's own
    defaults. A batch is attacked whole, unless `batch_size` is given.

    Args:
        name: its class in `art.attacks.evasion`.
        settings: what its constructor is given beside that, and before it.
        version: of ART.
    """

    tells_rows: ClassVar[bool] = True  # by `Watched`

    name: str
    settings: Mapping[str, Any]
    version: str

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        """Adversarial examples for `x`; see `Attack`. Draws depend on which images share a batch."""
        label = f"art:{self.name}"
        check_norm(label, _NORMS[self.name], threat)
        return attempt(label, self._perturb, model=model, x=x, y=y, threat=threat, draws=draws)

    def _perturb(self, case: Case) -> object:
        kind = getattr(ART.load(), self.name)
        defaults = defaults_of(kind)
        given: dict[str, Any] = {
            "norm": _ORDERS[case.threat.norm],
            "eps": case.threat.eps,
            "batch_size": len(case.x),
            "targeted": False,
            "verbose": False,
        }
        if "eps_step" in defaults:
            steps = "" if self.name in _OWN_STEPS else "max_iter"
            given["eps_step"] = case.threat.eps * step_share(self.settings, defaults, "eps_step", steps)
        offered = {name: value for name, value in given.items() if name in defaults}
        attack = kind(_classifier(case.model, case.x), **{**offered, **self.settings})
        for part in getattr(attack, "attacks", ()):  # AutoAttack keeps the word to itself
            part.verbose = False
        return attack.generate(x=case.x.cpu().numpy(), y=case.y.cpu().numpy())


def _classifier(watched: Watched, x: Tensor) -> object:
    """The model as ART wants it; in a sum of losses no gradient depends on the batch's size."""
    return ART.load("art.estimators.classification").PyTorchClassifier(
        model=watched,
        loss=nn.CrossEntropyLoss(reduction="sum"),
        input_shape=tuple(x.shape[1:]),
        nb_classes=class_count(watched, x),
        clip_values=(0.0, 1.0),
        device_type="gpu" if x.device.type == "cuda" else "cpu",
    )
