"""Attacks: `(model, x, y, threat, draws) -> x_adv`. None judges itself; the harness does."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from .apgd import APGD as APGD
    from .pgd import PGD as PGD
    from .pgd import fgsm as fgsm
    from .registry import ATTACKS as ATTACKS
    from .square import Square as Square

__getattr__, __dir__ = lazy_names(
    __name__,
    {"APGD": ".apgd", "ATTACKS": ".registry", "PGD": ".pgd", "Square": ".square", "fgsm": ".pgd"},
)
