"""Attacks: `(model, x, y, threat, draws) -> Attempt`. None judges itself; the harness does."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from .apgd import APGD as APGD
    from .fab import FAB as FAB
    from .fmn import FMN as FMN
    from .hard_label import HardLabel as HardLabel
    from .pgd import PGD as PGD
    from .pgd import fgsm as fgsm
    from .registry import ATTACKS as ATTACKS
    from .relay import Relay as Relay
    from .selective import Selective as Selective
    from .selective import orthogonal as orthogonal
    from .square import Square as Square
    from .suites import autoattack as autoattack
    from .suites import strongest as strongest
    from .tabu import Tabu as Tabu

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "APGD": ".apgd",
        "ATTACKS": ".registry",
        "FAB": ".fab",
        "FMN": ".fmn",
        "HardLabel": ".hard_label",
        "PGD": ".pgd",
        "Relay": ".relay",
        "Selective": ".selective",
        "Square": ".square",
        "Tabu": ".tabu",
        "autoattack": ".suites",
        "fgsm": ".pgd",
        "orthogonal": ".selective",
        "strongest": ".suites",
    },
)
