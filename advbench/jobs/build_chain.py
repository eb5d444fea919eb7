"""Chains of defenses, detectors and heads, made from their words and put in their places."""

from dataclasses import replace
from typing import Final

from torch import nn

from advbench.defended.adaptation import adaptation_of
from advbench.defended.detector import Detector, detector_of
from advbench.defended.head import Head, head_of
from advbench.defended.left_as_found import prepared
from advbench.defended.model import Placement, usual_place
from advbench.defended.own_functions import defense_of
from advbench.defended.reject import RejectClass, RejectNaN
from advbench.defenses import DEFENSES
from advbench.errors import SpecError
from advbench.names import registry
from advbench.names.adaptation import is_adaptation
from advbench.names.grammar import INPUT, Spec, detector_place, head_place, parse_chain
from advbench.names.user_code import load_object, names_user_code
from advbench.results.records import UNDEFENDED

DEFAULT_MODEL = "digits-cnn"
DEFAULT_DATASET = "digits"

REJECT_CLASS: Final = "reject-class"
"""The detector that is a class of the model itself; beside it, the one that is logits of NaN."""
REJECT_NAN: Final = "reject-nan"


def make_chain(text: str) -> tuple[Placement, ...]:
    """The defenses of a chain in their places, wherever these may be.

    Raises:
        SpecError: a defense that there is not, or parameters that it cannot take.
    """
    return tuple(_placement(spec) for spec in parse_chain(text))


def _placement(spec: Spec) -> Placement:
    if spec.name == UNDEFENDED:
        raise SpecError(f"'{UNDEFENDED}' is the undefended model; it stands alone, without parameters.")
    reads = detector_place(spec)
    if reads is not None:
        return _detector(spec, reads)
    if is_adaptation(spec):
        return Placement(adaptation_of(spec))
    head_reads = head_place(spec)
    if head_reads is not None:
        if not names_user_code(spec.name):
            raise SpecError(
                f"a head is code of your own, file.py:make or package.module:make, got {spec.name!r}."
            )
        return Placement(head_of(load_object(spec.name), spec), at=head_reads)
    at = spec.place or INPUT
    if names_user_code(spec.name):
        return Placement(defense_of(load_object(spec.name), spec), at=at)
    factory = registry.find(DEFENSES, spec.name, "defense").load()
    if spec.name in DEFENSES:
        made = registry.build(factory, spec, "defense")
        return Placement(made, at=spec.place or usual_place(made))
    return Placement(defense_of(factory, spec), at=at)


def _detector(spec: Spec, at: str) -> Placement:
    """A detector that reads what passes a place.

    Raises:
        SpecError: nothing that can be a detector.
    """
    if spec.name == REJECT_CLASS:
        given = registry.converted(spec, registry.parameters(RejectClass), "detector")
        return Placement(Detector(RejectClass(**given)), at=at)
    if spec.name == REJECT_NAN:
        return Placement(Detector(RejectNaN()), at=at)
    if not names_user_code(spec.name):
        raise SpecError(
            f"a detector is code of your own, file.py:score or package.module:score, got {spec.name!r}."
        )
    return Placement(detector_of(load_object(spec.name), spec), at=at)


def asked_for(chain: tuple[Placement, ...], fpr: float | None) -> tuple[Placement, ...]:
    """A chain whose detectors refuse the share of clean images that was asked for, where it was."""
    return tuple(
        link
        if fpr is None or link.detector is None or link.detector.fpr is not None
        else replace(link, defense=replace(link.detector, fpr=fpr))
        for link in chain
    )


def with_heads(chain: tuple[Placement, ...], model: nn.Module, classes: int) -> tuple[Placement, ...]:
    """A chain whose heads are made for this classifier and know how many classes there are.

    Raises:
        SpecError: a head that cannot be made.
        DefenseError: one that cannot classify.
    """
    made = []
    for link in chain:
        if isinstance(link.defense, Head):
            with prepared(model):
                head = link.defense.bound(model)
            link = replace(link, defense=replace(head, classes=head.classes or classes or None))  # noqa: PLW2901
        made.append(link)
    return tuple(made)
