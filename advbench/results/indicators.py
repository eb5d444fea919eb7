"""Signs that an attack failed for reasons of its own: what each means, when it is tripped, what to do then.

Most are published checks. Two of the six indicators of attack failure (Pintor et al. 2022) cannot be tripped
here and are not measured: an attack's best iterate is kept and judged afresh, so that no success is silent
(3); and every attack but the static one runs on the defended model itself, so that no success is lost in
transfer (5).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, nan
from typing import Final, Literal, NamedTuple

import pandas as pd

from advbench.results.records import Rung

Test = Literal["binarization"]
TESTS: Final[tuple[Test, ...]] = ("binarization",)
"""What is measured beside the ladder where it is asked for: each is an indicator of its name."""

LATE: Final = 0.05
"""A loss that rises by more than this share of its whole rise in its last 10 steps has not settled."""


class Meaning(NamedTuple):
    """What an indicator says."""

    words: str
    """What is wrong when it is tripped."""
    threshold: float
    """The value beyond which it is tripped."""
    advice: str
    """What would mend it, or make sure."""
    beyond: Literal["above", "below"] = "above"


_CUT: Final = (
    "behind a defense --bpda with --substitute search; without one, name the step that cuts it as a defense"
)

MEANINGS: Final[Mapping[str, Meaning]] = {
    # AutoAttack's check of the first point, there of DLR alone and of any image; a few images whose
    # cross-entropy underflows are usual, so not of any here.
    "zero_gradient:ce": Meaning(
        "the gradient of the cross-entropy is zero, NaN or infinite",
        0.05,
        "--attack pgd:loss=margin",
    ),
    "zero_gradient:margin": Meaning("the gradient of the margin is zero, NaN or infinite", 0.05, _CUT),
    "zero_gradient:dlr": Meaning("the gradient of the DLR loss is zero, NaN or infinite", 0.05, _CUT),
    # Our own: dead ReLUs and blank borders leave zeros too, so only nearly all of them count.
    "zero_coordinates": Meaning("coordinates of the gradient are exactly zero", 0.95, _CUT),
    # Our own: clips that `advbench.defended.clips` does not see. Random crops, other ones in each pass, come
    # to 0.1.
    "border_gradient": Meaning(
        "the gradient is zero at pixels of exactly 0 and 1, and not just inside",
        0.25,
        "clip by torch.clamp, outside of TorchScript, or not at all: all images are in [0, 1]",
    ),
    # Our own, from the gallery: along a right gradient the cosine is 0.7 and more.
    "agreement": Meaning(
        "the gradient does not foretell how the loss changes",
        0.2,
        "--substitute search, or --substitute finite-difference",
        beyond="below",
    ),
    # Pintor et al. 2022, indicator 2: the loss jumps about within 8/255.
    "unstable": Meaning(
        "the loss jumps about within 8/255 of the images", 0.9, "a smoother substitute, or more --steps"
    ),
    # Pintor et al. 2022, indicator 6; Carlini et al. 2019; the threshold is ART's at ten classes.
    "unbounded": Meaning(
        "images stand however far the attack may go", 0.1, "the attack is broken: look at the gradient first"
    ),
    # Carlini et al. 2019: accuracy must not rise with the radius.
    "wider": Meaning(
        "images that fall at the radius stand at twice the radius", 0.05, "raise --steps, or --step-size"
    ),
    # Carlini et al. 2019: iterative attacks beat one step.
    "one_step": Meaning(
        "one step fells images that the attack left", 0.0, "--attack apgd, or a smaller --step-size"
    ),
    # Carlini et al. 2019: random noise finds nothing that the attack missed.
    "noise": Meaning("random noise fells images that the attack left", 0.0, "--attack square"),
    # Carlini et al. 2019: more steps and restarts change little.
    "plateau": Meaning(
        "twice the steps from another start fell images that the attack left",
        0.05,
        "raise --steps, or --restarts 5",
    ),
    # Zimmermann et al. 2022.
    "binarization": Meaning(
        "the attack misses examples that are there: it found too few of those that a readout was given",
        0.95,
        "--attack strongest, or --substitute search",
        beyond="below",
    ),
    "binarization_random": Meaning(
        "random points find the examples of the binarization test too, which says little then",
        0.5,
        "a larger --eps, or features of more dimensions",
    ),
    # Pintor et al. 2022, indicator 4.
    "incomplete": Meaning("images stand whose loss still rose in the last 10 steps", 0.05, "raise --steps"),
    # AutoAttack's flags.
    "softmax_output": Meaning(
        "the model returns probabilities, not logits", 0.0, "attack the logits before the softmax"
    ),
    "few_classes": Meaning("there are fewer than 4 classes, so that DLR is undefined", 0.0, "use margin"),
    "autograd_in_forward": Meaning(
        "the model computes gradients in its forward pass",
        0.0,
        "an attack that knows how it uses them (Croce et al. 2022)",
    ),
}
"""What there is to measure; an indicator's value is a share in [0, 1], but for `agreement`, a cosine."""


@dataclass(frozen=True, kw_only=True)
class Indicator:
    """What was measured of one sign.

    Args:
        defense: behind which defense.
        attack: of which attack; empty where it is about gradients or the model alone.
        rung: along whose gradient: `shattered` or `bpda`; `clean` where it is about the model alone.
        name: a key of `MEANINGS`.
        part: the images that show it, or a sum over them.
        whole: the images that were looked at, or what `part` is a share of.

    Raises:
        ValueError: a name that there is not.
    """

    defense: str
    attack: str
    rung: Rung
    name: str
    part: float
    whole: float

    def __post_init__(self) -> None:
        if self.name not in MEANINGS:
            raise ValueError(f"there is no indicator {self.name!r}")

    @property
    def value(self) -> float:
        """The share, or the cosine; NaN where there was nothing to measure."""
        return self.part / self.whole if self.whole else nan

    @property
    def tripped(self) -> bool:
        """Whether it lies beyond its threshold."""
        meaning = MEANINGS[self.name]
        if not isfinite(self.value):
            return False
        return self.value > meaning.threshold if meaning.beyond == "above" else self.value < meaning.threshold

    @property
    def sentence(self) -> str:
        """What is wrong, with the figure."""
        words = MEANINGS[self.name].words
        if self.name == "agreement":
            return f"{words} (cosine {self.value:.2f})"
        if self.name in _FLAGS:
            return words
        return f"{words} ({100 * self.value:.0f} %)"


_FLAGS = ("softmax_output", "few_classes", "autograd_in_forward")


def added(indicators: Sequence[Indicator]) -> tuple[Indicator, ...]:
    """The indicators of several shares of the images as those of all."""
    sums: dict[tuple[str, ...], Indicator] = {}
    for indicator in indicators:
        key = (indicator.defense, indicator.attack, indicator.rung, indicator.name)
        known = sums.get(key)
        sums[key] = (
            indicator
            if known is None
            else replace(known, part=known.part + indicator.part, whole=known.whole + indicator.whole)
        )
    return tuple(sums.values())


def incomplete(samples: pd.DataFrame, defense: str, attack: str, rung: Rung) -> Indicator:
    """How many images stand whose loss has not settled, from what the attack recorded (`late_gain`)."""
    records = samples[
        (samples["defense"] == defense) & (samples["attack"] == attack) & (samples["rung"] == rung)
    ]
    gains = records[records["robust"]]["late_gain"]
    return Indicator(
        defense=defense,
        attack=attack,
        rung=rung,
        name="incomplete",
        part=float((gains > LATE).sum()),
        whole=float(len(records)),
    )
