"""Which attacks and rungs a black box allows, and what its rows say of the others."""

from collections.abc import Collection
from typing import Final, NamedTuple

from advbench.attacks import ATTACKS
from advbench.defended.black_box import BlackBox
from advbench.errors import ModelError, SpecError
from advbench.jobs.auto_attack import AUTO
from advbench.jobs.build_subject import Named
from advbench.names import registry
from advbench.names.grammar import parse_spec
from advbench.results.records import Rung

_LABELS: Final = (
    "a black box that gives labels alone tells no attack by scores which iterate is better: --attack "
    "hard-label asks for labels alone, and --surrogate distill gives it a gradient."
)


class Allowed(NamedTuple):
    """What is run."""

    attacks: Named
    rungs: tuple[Rung, ...]
    gradient_free: Named
    notes: tuple[str, ...] = ()
    """What the rows say of what is left out."""


def allowed(
    box: BlackBox, asked_for: Allowed, instead: Named, *, has_surrogate: bool, own: Collection[str] = ()
) -> Allowed:
    """What of a run's attacks and rungs a black box allows.

    Args:
        box: what is attacked.
        asked_for: the attacks, the rungs, and the attack of the gradient-free rung, where that is run.
        instead: what attacks where all others are left out.
        has_surrogate: whether gradients come from another model.
        own: the names of attacks that are objects, of which nobody says what they need.

    Raises:
        ModelError: none is left.
    """
    attacks, rungs, gradient_free, _ = asked_for
    notes: list[str] = []
    kept = list(attacks.objects)
    if has_surrogate:
        notes.append(
            "the black box has no gradient of its own: on the shattered rung attacks that follow one leave "
            "the clean images as they are"
        )
    else:
        out = [name for name in kept if name not in own and "gradient" in _needs(name)]
        kept = [name for name in kept if name not in out]
        rungs = tuple(rung for rung in rungs if rung != "bpda")
        if out:
            notes.append(f"{', '.join(out)} follows a gradient, which a black box has not, and is left out")
            notes[-1] += "; --surrogate distill gives one"
        if not kept:
            attacks, kept = instead, list(instead.objects)
    if box.gives == "labels":
        kept = [name for name in kept if name in own or _needs(name) != "scores"]
        if not kept:
            raise ModelError(_LABELS)
        if any(_needs(name) == "scores" for name in gradient_free.objects):
            notes.append(
                f"{''.join(gradient_free.objects)} needs scores, of which the black box gives none: "
                f"{''.join(instead.objects)} attacks on the gradient-free rung"
            )
            gradient_free = instead
    return Allowed(_only(attacks, kept), rungs, gradient_free, tuple(notes))


def _only(attacks: Named, names: Collection[str]) -> Named:
    return Named(
        {name: attack for name, attack in attacks.objects.items() if name in names},
        {name: settings for name, settings in attacks.settings.items() if name in names},
    )


def _needs(name: str) -> str:
    """What an attack asks a model for; empty where nobody says."""
    try:
        spec = parse_spec(name)
        if spec.name == AUTO:
            gives = spec.parameters.get("gives", "gradients")
            return {"gradients": "gradient, scores"}.get(gives, gives)
        return registry.find(ATTACKS, spec.name, "attack").needs
    except SpecError:
        return ""
