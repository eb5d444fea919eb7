"""Attacks of torchattacks (Kim 2020)."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from torch import Tensor, nn

from advbench.defended.gradient import Model
from advbench.draws.draws import Draws
from advbench.threat.attack import Attack, Attempt
from advbench.threat.threat import Threat

from .constructor import defaults_of, factory_of
from .external import Case, Library, attempt, check_norm, class_count, pick, step_share

TORCHATTACKS: Final = Library(name="torchattacks", module="torchattacks", distribution="torchattacks")

_LINF = ("linf",)
# As each class documents it: the library has no attribute that says so.
_NORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "APGD": ("linf", "l2"),
    "APGDT": ("linf", "l2"),
    "AutoAttack": ("linf", "l2"),
    "CW": ("l2",),
    "DeepFool": ("l2",),
    "EADEN": ("l1", "l2"),
    "EADL1": ("l1",),
    "FAB": ("linf", "l2"),  # it names L1 too, and fails there
    "GN": ("linf", "l2", "l1"),  # noise of no norm in particular
    "JSMA": ("l0",),
    "OnePixel": ("l0",),
    "PGDL2": ("l2",),
    "PGDRSL2": ("l2",),
    "Pixle": ("l0",),
    "SparseFool": ("l0",),
    "Square": ("linf", "l2"),
}
_SPOKEN = {"linf": "Linf", "l2": "L2", "l1": "L1"}

_MASKED: Final = ("CW", "EADEN", "EADL1", "UPGD")
"""They blank logits with 0 and take the largest: where all are negative, it is the 0, whose gradient is 0."""

_INSIDE: Final = 1e-3
"""CW writes pixels as (tanh(w) + 1) / 2, and no step moves the infinite w of a pixel of exactly 0 or 1.

A quarter of a grey level inside, pixels move; the harness judges in the ball round the image itself.
"""

_NO_ATTACKS = ("Attack", "LGV", "MultiAttack", "VANILA")
"""The base, two that are put together from other attacks, and the clean images."""


def torchattacks_attack(name: str) -> Callable[..., Attack]:
    """A factory of the attack of torchattacks that is called `name`.

    Raises:
        InputError: torchattacks is not installed, or has no such attack.
    """
    module = TORCHATTACKS.load()
    base = TORCHATTACKS.load("torchattacks.attack").Attack
    offered = {
        member: kind
        for member, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, base) and member not in _NO_ATTACKS
    }
    kind = pick(TORCHATTACKS.name, name, offered, dir(module))

    def make(settings: dict[str, Any]) -> Attack:
        return TorchattacksAttack(name=name, settings=settings, version=TORCHATTACKS.version)

    return factory_of(f"torchattacks:{name}", kind, make)


@dataclass(frozen=True, kw_only=True)
class TorchattacksAttack:
    """An attack of torchattacks, untargeted, on pixels in [0, 1].

    Radius and norm are the threat's, the number of classes is the model's, the seed is the batch's, and a
    step `alpha` is 2.5 * eps / steps (the ratio of the library's own defaults), or what they are of eps
    where there are no steps. Those that look for the smallest perturbation may return examples outside of
    the ball. Two faults of torchattacks 3.5.1 are kept from results: CW is given pixels a hair inside of
    [0, 1], and attacks that mask logits are given positive ones.

    Args:
        name: its class in `torchattacks`.
        settings: what its constructor is given beside that, and before it.
        version: of torchattacks.
    """

    tells_rows: ClassVar[bool] = True  # by `Watched`

    name: str
    settings: Mapping[str, Any]
    version: str

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        """Adversarial examples for `x`; see `Attack`. Draws depend on which images share a batch."""
        label = f"torchattacks:{self.name}"
        check_norm(label, _NORMS.get(self.name, _LINF), threat)
        return attempt(label, self._perturb, model=model, x=x, y=y, threat=threat, draws=draws)

    def _perturb(self, case: Case) -> object:
        kind = getattr(TORCHATTACKS.load(), self.name)
        defaults = defaults_of(kind)
        given: dict[str, Any] = {
            "norm": _SPOKEN[case.threat.norm],
            "eps": case.threat.eps,
            "max_epsilon": case.threat.eps,
            "seed": case.seed,
        }
        if "alpha" in defaults:
            given["alpha"] = case.threat.eps * step_share(self.settings, defaults, "alpha", "steps")
        if "n_classes" in defaults and "n_classes" not in self.settings:
            given["n_classes"] = class_count(case.model, case.x)
        offered = {name: value for name, value in given.items() if name in defaults}
        model = _AboveZero(case.model) if self.name in _MASKED else case.model
        x = case.x.clamp(_INSIDE, 1.0 - _INSIDE) if self.name == "CW" else case.x
        return kind(model, **{**offered, **self.settings})(x, case.y)


class _AboveZero(nn.Module):
    """A model whose logits are shifted, those of an image by one constant, so that the smallest is 1.

    No prediction, no probability and no difference of two logits changes.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(m, k)` of images `(m, c, h, w)`."""
        logits: Tensor = self.model(x)
        return logits + (1.0 - logits.detach().amin(1, keepdim=True))
