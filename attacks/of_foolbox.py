"""Attacks of foolbox 3 (Rauber, Zimmermann, Bethge, Brendel 2020)."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from torch import Tensor

from advbench.defended.gradient import Model
from advbench.draws.draws import Draws
from advbench.threat.attack import Attack, Attempt
from advbench.threat.threat import Threat

from .constructor import OWNED, defaults_of, factory_of
from .external import Case, Library, attempt, check_norm, pick

FOOLBOX: Final = Library(name="foolbox", module="foolbox.attacks", distribution="foolbox")

_NORMS = {math.inf: "linf", 2: "l2", 1: "l1", 0: "l0"}


def foolbox_attack(name: str) -> Callable[..., Attack]:
    """A factory of the attack of foolbox that is called `name`.

    Raises:
        InputError: foolbox is not installed, or has no such attack.
    """
    module = FOOLBOX.load()
    # SpatialAttack, which has no distance, turns and shifts images by amounts of its own.
    offered = {
        member: kind
        for member, kind in vars(module).items()
        if inspect.isclass(kind)
        and issubclass(kind, module.Attack)
        and not inspect.isabstract(kind)
        and hasattr(kind, "distance")
    }
    kind = pick(FOOLBOX.name, name, offered, dir(module))

    def make(settings: dict[str, Any]) -> Attack:
        return FoolboxAttack(name=name, settings=settings, version=FOOLBOX.version)

    return factory_of(f"foolbox:{name}", kind, make, {**OWNED, "constraint": OWNED["norm"]})


@dataclass(frozen=True, kw_only=True)
class FoolboxAttack:
    """An attack of foolbox, untargeted, on pixels in [0, 1].

    Attacks at a fixed radius are given the threat's; those that look for the smallest perturbation look to
    their end, and what they return may lie outside of the ball.

    Args:
        name: its class in `foolbox.attacks`.
        settings: what its constructor is given; the norm is the threat's where the attack takes one.
        version: of foolbox.
    """

    tells_rows: ClassVar[bool] = True  # by `Watched`

    name: str
    settings: Mapping[str, Any]
    version: str

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        """Adversarial examples for `x`; see `Attack`. Draws depend on which images share a batch."""
        label = f"foolbox:{self.name}"
        return attempt(label, self._perturb, model=model, x=x, y=y, threat=threat, draws=draws)

    def _perturb(self, case: Case) -> object:
        foolbox, attacks = FOOLBOX.load("foolbox"), FOOLBOX.load()
        kind = getattr(attacks, self.name)
        defaults, given, label = defaults_of(kind), dict(self.settings), f"foolbox:{self.name}"
        if "distance" in defaults:
            given["distance"] = getattr(foolbox.distances, case.threat.norm)
        if "constraint" in defaults:
            check_norm(label, ("linf", "l2"), case.threat)
            given["constraint"] = case.threat.norm
        attack = kind(**given)
        check_norm(label, (_NORMS.get(attack.distance.p, "another norm"),), case.threat)
        fixed = isinstance(attack, attacks.base.FixedEpsilonAttack)
        network = foolbox.PyTorchModel(case.model, bounds=(0, 1), device=case.x.device)
        raw, _, _ = attack(network, case.x, case.y, epsilons=case.threat.eps if fixed else None)
        return raw
