"""What of a verdict is about the gradient: whether there is one, and whether it leads anywhere."""

from collections.abc import Iterator
from math import nan
from typing import TYPE_CHECKING, Final

from advbench.results.advice import about, about_gradient
from advbench.results.indicators import Indicator
from advbench.results.records import Rung

if TYPE_CHECKING:
    from advbench.results.verdict import Case

Ground = tuple[str, tuple[str, ...]]
"""A sentence of evidence, and what to do about it."""

FLAT: Final = 0.05
"""Share of all images that may stand without having shown an attack any gradient, or of which nobody needs to
be told that fewer may stand."""

FAITHFUL: Final = 0.6
"""Cosine with the loss's own differences from which on a gradient can carry a row that is called robust, and
may be zero in nearly all coordinates, since the classifier looks at few pixels. Robust networks of the tests
have 0.70 (LeNet5 trained for eps 0.3 on MNIST) to 1.0, logits bent along a sine 0.47 and 0.58, a Hopfield
retrieval 0.37."""

_NO_GRADIENT: Final = ("zero_gradient:margin", "border_gradient")
"""What says that there is no gradient to follow. That of the DLR loss dies with the margin's, or where logits
are equal."""

_NO_GUIDE: Final = ("zero_coordinates", "agreement")
"""What says that the gradient may lead nowhere. A quantiser of one bit before a robust network moves the loss
in jumps that no gradient foretells, and still stands: so these alone ask for more, and accuse nobody."""


def dead(case: "Case", rung: Rung) -> Iterator[Ground]:
    """What says that the gradient of a rung leads nowhere."""
    yield from cut_off(case, rung)
    yield from misled(case, rung)


def cut_off(case: "Case", rung: Rung) -> Iterator[Ground]:
    """Images that show no gradient."""
    flat, tripped = flat_images(case, rung), case.tripped(rung)
    if flat > FLAT * case.n and not margin_is_sound(case, rung):
        sentence = f"{flat} of {case.n} images stand without a gradient to follow"
        yield sentence, about_gradient(case.setup)
    for name in _NO_GRADIENT:
        if name in tripped:
            yield ground_of(tripped[name], case)


def misled(case: "Case", rung: Rung) -> Iterator[Ground]:
    """A gradient that is there, and no guide."""
    tripped = case.tripped(rung)
    for name in _NO_GUIDE:
        if name in tripped and not (name == "zero_coordinates" and agreement(case, rung) >= FAITHFUL):
            yield ground_of(tripped[name], case)
    cosine = agreement(case, rung)
    if "agreement" not in tripped and cosine < FAITHFUL:
        sentence = f"the gradient foretells only a part of how the loss changes (cosine {cosine:.2f})"
        yield sentence, about_gradient(case.setup)


def flat_images(case: "Case", rung: Rung) -> int:
    """How many images stand that showed the attack no gradient."""
    of_rung = (case.samples["rung"] == rung).to_numpy(dtype=bool)
    robust, flat = (case.samples[name].to_numpy(dtype=bool) for name in ("robust", "flat_gradient"))
    return int((of_rung & robust & flat).sum())


def margin_is_sound(case: "Case", rung: Rung) -> bool:
    """Whether the margin has a gradient that foretells the loss, so that the attack's loss alone fails."""
    known = {indicator.name for indicator in case.indicators if indicator.rung == rung}
    return (
        "zero_gradient:margin" in known
        and not known.isdisjoint({"agreement"})
        and not ({"zero_gradient:margin", "agreement"} & case.tripped(rung).keys())
    )


def agreement(case: "Case", rung: Rung) -> float:
    """The cosine, NaN where nobody has looked or the loss never moved."""
    values = [
        indicator.value
        for indicator in case.indicators
        if indicator.rung == rung and indicator.name == "agreement"
    ]
    return values[0] if values else nan


def saturates(case: "Case") -> bool:
    """Whether images stand because the cross-entropy has no gradient where the margin has one."""
    rung = case.resting
    return (
        case.setup.climbs_cross_entropy
        and margin_is_sound(case, rung)
        and ("zero_gradient:ce" in case.tripped(rung) or flat_images(case, rung) > FLAT * case.n)
    )


def ground_of(indicator: Indicator, case: "Case") -> Ground:
    """What an indicator says, and what to do about it."""
    return indicator.sentence, about(indicator.name, case.setup)
