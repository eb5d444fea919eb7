"""The verdict of a row: is it robust, or is its gradient hidden? A short table of decisions, no score.

    unreliable            clean accuracy is chance, or the model's answers are no function of each image alone
    unreliable            one step of the gradient fells 10 % of images more than the attack, and a third of
                          what any other rung fells beyond it
    masked                another rung fells at least 10 % of all images that the defense's own gradient
                          left (with McNemar's exact p < 0.01); or, of a defense that may refuse, attacks that
                          know its detector fell as many of those that examples made without it left
    not robust            less than a third of what is right when clean stands on every rung
    unreliable            the gradient that the row rests on is zero or undefined, or the attack cannot fell
                          images at any radius
    not enough evidence   a rung is missing, the loss saturates, the gradient does not foretell the loss, more
                          steps, one step, noise or a weaker attack do better, the images are too few, or a
                          random defense was judged with the draws that the attack saw
    robust as measured    none of these; the worst accuracy stands, and is named

The first line that holds is the verdict. What has fallen has fallen, whatever else may be said of the attack:
so only a model that cannot be judged keeps a row from `not robust`. Each verdict names its evidence in the
order of causes (randomness, batches, gradients in the forward pass, no gradient, then the steps), and what
would mend it or make sure.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import pandas as pd

from advbench.results.advice import CLOSER, Setup, about_gradient, by_margin, stronger
from advbench.results.detecting import KNOWING, unaware
from advbench.results.gradient_grounds import (
    FLAT,
    Ground,
    cut_off,
    dead,
    flat_images,
    ground_of,
    misled,
    saturates,
)
from advbench.results.indicators import Indicator
from advbench.results.judging import FIXED
from advbench.results.records import UNDECIDED, UNDEFENDED, Rung, wilson_interval
from advbench.results.statistics import PairedCounts, count_pairs
from advbench.results.surrogates import LEFT_OUT, SOFT_STEPS, Likeness

Kind = Literal["robust as measured", "not robust", "masked", "unreliable", "not enough evidence"]
KINDS: Final[tuple[Kind, ...]] = (
    "robust as measured",
    "not robust",
    "masked",
    "unreliable",
    "not enough evidence",
)

RULES: Final = 2
"""Which table of decisions this is; a run says by which its verdicts were written. The first had no `not
robust`, and did not look at the gradient's indicators."""

WITHOUT_EXPECTATION: Final = (
    "the defense is random, and was attacked without expectation over its draws (--eot 20)"
)

MODEL_WITHOUT_EXPECTATION: Final = WITHOUT_EXPECTATION.replace("the defense is", "the model is")

UNLIKE_HEAD: Final = (
    "the network learned for the head decides alike on fewer than 90 % of perturbed features (give the head "
    "a method `soft`, or --substitute file.py:function)"
)

_UNEXPECTED: Final = (WITHOUT_EXPECTATION, MODEL_WITHOUT_EXPECTATION, UNLIKE_HEAD)

HIDDEN: Final = 0.1
"""Share of all images that a gradient must have hidden for a row to be called masked. Attacks of equal worth
differ by a few per cent of images near the boundary: PGD and AutoAttack by 5 on an adversarially trained
LeNet."""

STANDS: Final = 1 / 3
"""Share of what is right when clean that must stand for a row to be called robust. Models that were trained
for their radius keep more (on RobustBench's leaders' boards 0.35 to 0.9 of their clean accuracy), models that
were not keep next to nothing."""

_EXPLAINED: Final = 1 / 3
"""Share of what another rung fells beyond the gradient that a badly chosen step may be the cause of."""

SURE: Final = 0.01
DOUBT: Final = 0.05
"""McNemar's p below which one rung is called better than another, and below which it may be."""


_NAMES: Final[Mapping[Rung, str]] = {
    "static": "examples made on the undefended model",
    "bpda": "attacks with BPDA",
    "gradient_free": "gradient-free attacks",
    "label_only": "attacks that see labels alone",
}
_OF_STEPS: Final = ("plateau", "one_step", "noise", "wider")


@dataclass(frozen=True)
class Verdict:
    """What a row comes to.

    Args:
        kind: which line of the table holds.
        evidence: why, a sentence each.
        advice: what would mend or confirm it, in the order of the evidence.
    """

    kind: Kind
    evidence: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {'; '.join(self.evidence)}" if self.evidence else self.kind


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a row's verdict is made of.

    Args:
        standing: whether each image stands, a column a rung that was run, a row an image.
        samples: the records of the row's gradient attacks.
        indicators: those of its defense and attack.
        doubts: why the model's answers are no function of the image alone.
        setup: how the row was made.
        chance: that clean accuracy is no better than guessing, in a sentence; None where it is.
        may_refuse: whether a detector stands in the defense.
        fixed_seed: whether the judge gave a random defense the very draws that the attack saw.
        surrogate: what the gradients of the bpda rung come from, where that is not the model.
        source: what the static examples were made on; empty for the undefended model, `none` where the rung
            was left out on purpose.
    """

    standing: pd.DataFrame
    samples: pd.DataFrame
    indicators: Sequence[Indicator]
    doubts: Sequence[str]
    setup: Setup
    chance: str | None = None
    may_refuse: bool = False
    fixed_seed: bool = False
    surrogate: Likeness | None = None
    source: str = ""

    @property
    def n(self) -> int:
        """The images."""
        return len(self.standing)

    @property
    def worst(self) -> int:
        """How many stand on every rung."""
        return int(self.standing.all(axis=1).sum())

    @property
    def right(self) -> int:
        """How many are right when clean; all of them where nobody has looked."""
        return int(self.standing["clean"].sum()) if "clean" in self.standing else self.n

    @property
    def gradient_rungs(self) -> list[Rung]:
        """The rungs that follow a gradient of the defended model."""
        rungs: tuple[Rung, ...] = ("bpda", "shattered")
        return [rung for rung in rungs if rung in self.standing]

    def tripped(self, rung: Rung) -> dict[str, Indicator]:
        """The indicators of a rung that lie beyond their threshold, by name."""
        return {
            indicator.name: indicator
            for indicator in self.indicators
            if indicator.tripped and indicator.rung == rung
        }

    @cached_property
    def strongest(self) -> Rung:
        """The gradient rung that leaves less; BPDA where both leave as much."""
        return min(self.gradient_rungs, key=lambda rung: int(self.standing[rung].to_numpy().sum()))

    @cached_property
    def resting(self) -> Rung:
        """The gradient rung that the row rests on: the one that leaves less.

        Where the two cannot be told apart it is the one whose gradient is sound, and BPDA if both are.
        """
        best = self.strongest
        measured = [
            rung
            for rung in self.gradient_rungs
            if any(indicator.rung == rung for indicator in self.indicators)
        ]
        sound = [rung for rung in measured if not any(True for _ in dead(self, rung))]
        return next((rung for rung in sound if not _better(self, best, rung)), best)


def verdict_of(case: Case) -> Verdict:
    """The verdict of one row."""
    by_chance: list[Ground] = [(case.chance, (_LOOK,))] if case.chance else []
    decisions: list[tuple[Kind, Iterable[Ground]]] = [
        ("unreliable", [*by_chance, *_not_a_function(case)]),
        ("unreliable", _weak(case)),
        ("masked", [*_unaware(case), *_hidden(case)]),
        ("not robust", _fallen(case)),
        ("unreliable", _broken(case)),
        ("not enough evidence", [*[_KNOWN] * case.fixed_seed, *_unsettled(case)]),
        ("robust as measured", [(_left(case, "stand on every rung"), ())]),
    ]
    return next(_verdict(kind, grounds) for kind, indicators in decisions if (grounds := list(indicators)))


_KNOWN: Final[Ground] = (f"it was {FIXED}", ("fresh draws: --judge majority, or --judge any:10",))
_LOOK: Final = "look first at the normalisation (--mean, --std) and at the order of the classes"


def _verdict(kind: Kind, grounds: Collection[Ground]) -> Verdict:
    advice = [step for _, steps in grounds for step in steps]
    return Verdict(kind, tuple(why for why, _ in grounds), tuple(dict.fromkeys(advice)))


def paired(standing: pd.DataFrame, one: Rung, other: Rung) -> PairedCounts:
    """Two rungs on the same images."""
    return count_pairs(standing[one].to_numpy(), standing[other].to_numpy())


def _better(case: Case, one: Rung, other: Rung) -> bool:
    """Whether one rung fells clearly more than another."""
    pairs = paired(case.standing, other, one)
    return pairs.difference > 0.0 and pairs.p_value < DOUBT


def _not_a_function(case: Case) -> Iterator[Ground]:
    """Why the model's answers are no function of each image alone: no count can be trusted then."""
    for doubt in case.doubts:
        if doubt not in _UNEXPECTED:
            yield doubt, ()


def _weak(case: Case) -> Iterator[Ground]:
    """An attack that one step of its own gradient beats says nothing about the gradient."""
    one_step = case.tripped(case.resting).get("one_step")
    if one_step is not None and one_step.value >= HIDDEN:
        shown = _most_shown(case, "shattered", _NAMES)
        if shown and one_step.value < _EXPLAINED * shown[0][1].difference:
            return  # far more is hidden than a better step would find
        yield from dead(case, case.resting)  # a step that leads nowhere is no matter of its length
        yield ground_of(one_step, case)


def _most_shown(case: Case, weaker: Rung, others: Iterable[Rung]) -> list[tuple[Rung, PairedCounts]]:
    """The rung that fells most of what a weaker one left, where that is much and no chance; else none."""
    both = [rung for rung in others if {rung, weaker} <= {*case.standing.columns}]
    compared = [(rung, paired(case.standing, weaker, rung)) for rung in both]
    shown = [(rung, pairs) for rung, pairs in compared if pairs.difference >= HIDDEN and pairs.p_value < SURE]
    return sorted(shown, key=lambda named: -named[1].difference)[:1]


def _unaware(case: Case) -> Iterator[Ground]:
    """Whether a detector stops those examples alone that were made without it."""
    for rung, pairs in _most_shown(case, "static", KNOWING if case.may_refuse else ()):
        left = int(case.standing["static"].sum())
        yield f"{unaware(rung, pairs.only_first, left)} (p {_p(pairs.p_value)})", ()


def _named(case: Case, rung: Rung) -> str:
    """A rung's attacks in words, with what static examples were made on where that is another network."""
    elsewhere = rung == "static" and case.source not in ("", LEFT_OUT)
    return f"examples made on {case.source}" if elsewhere else _NAMES[rung]


def _hidden(case: Case) -> Iterator[Ground]:
    """The rung that shows most of what the defense's own gradient has hidden."""
    standing, most = case.standing, _most_shown(case, "shattered", _NAMES)
    for rung, pairs in most:
        left = int(standing["shattered"].sum())
        sentence = (
            f"{_named(case, rung)} fell {pairs.only_first} of the {left} images that its own gradient left"
        )
        yield f"{sentence} (p {_p(pairs.p_value)})", ()
    if most and case.worst > FLAT * case.n:
        bound = f"the {case.worst} of {case.n} that stand on every rung are an upper bound"
        sound = "bpda" in standing and case.resting == "bpda" and not any(True for _ in dead(case, "bpda"))
        is_other = case.surrogate is not None and case.surrogate.name != SOFT_STEPS
        closer = (CLOSER,) if is_other and most[0][0] == "gradient_free" else ()
        yield bound, (*closer, stronger(case.setup)) if sound else about_gradient(case.setup)


def _fallen(case: Case) -> Iterator[Ground]:
    """Most of what is right when clean has been felled, for a judge to see."""
    if case.worst < STANDS * case.right or case.worst == 0:
        yield _left(case, "stand on every rung"), ()


def _broken(case: Case) -> Iterator[Ground]:
    """Why the attacks cannot have shown what they should."""
    yield from ((doubt, ()) for doubt in case.doubts if doubt in _UNEXPECTED)
    rung = case.resting
    cut = list(cut_off(case, rung))
    if cut:
        yield from dead(case, rung)
    records = case.samples[case.samples["rung"] == rung]
    undecided = int((records["prediction"] == UNDECIDED).sum())
    if undecided > FLAT * case.n:
        yield f"{undecided} of {case.n} examples gave NaN logits", ("mend the model's numbers",)
    missed = case.tripped(rung).get("binarization")
    if missed is not None:
        yield ground_of(missed, case)
    unbounded = case.tripped(rung).get("unbounded")
    if unbounded is not None and (cut or not saturates(case)):
        yield ground_of(unbounded, case)


def _unsettled(case: Case) -> Iterator[Ground]:
    """What a stronger look could still change."""
    setup, standing = case.setup, case.standing
    tripped = case.tripped("clean") | case.tripped(case.resting)
    yield from _unlike(case)
    missing = _missing(case)
    if missing:
        yield f"not run: {', '.join(missing)}", ("--ladder",)
    if "autograd_in_forward" in tripped:
        yield ground_of(tripped["autograd_in_forward"], case)
    if saturates(case):
        flat = flat_images(case, case.resting)
        sentence = f"{flat} of {case.n} images stand where the cross-entropy has no gradient"
        yield sentence, (by_margin(setup),)
    best = case.strongest
    yield from misled(case, case.resting)
    weaker: tuple[Rung, ...] = ("static", "gradient_free", "label_only")
    for rung in weaker:
        if rung in standing and _better(case, rung, best):
            pairs = paired(standing, best, rung)
            sentence = f"{_named(case, rung)} leave {100 * pairs.difference:.1f} points less than {best}"
            yield f"{sentence} (p {_p(pairs.p_value)})", (stronger(setup),)
    signs = list(_OF_STEPS)
    if not any(
        indicator.name == "plateau" and indicator.rung == case.resting for indicator in case.indicators
    ):
        signs.append("incomplete")  # else what comes of more steps is known
    for name in signs:
        if name in tripped:
            yield ground_of(tripped[name], case)
    if wilson_interval(case.worst, case.n).low * case.n < STANDS * case.right:
        sentence = (
            f"{case.worst} of {case.n} stand, too few images to tell whether a third of the clean ones would"
        )
        yield sentence, ("more images: --limit",)


def _unlike(case: Case) -> Iterator[Ground]:
    """A surrogate that says too often what the model does not is no guide to it."""
    if case.surrogate is not None and case.surrogate.falls_short:
        yield case.surrogate.doubt, (CLOSER,)


def _missing(case: Case) -> list[Rung]:
    """The rungs that a verdict rests on and that were neither run nor left out on purpose."""
    undefended = case.setup.defense == UNDEFENDED
    needed: list[Rung] = ["gradient_free"] if undefended else ["static", "bpda", "gradient_free"]
    return [
        rung
        for rung in needed
        if rung not in case.standing and not (rung == "static" and case.source == LEFT_OUT)
    ]


def _left(case: Case, what: str) -> str:
    low, high = wilson_interval(case.worst, case.n)
    return f"{case.worst} of {case.n} images {what} ({100 * low:.1f} to {100 * high:.1f} %)"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"


def standing_of(samples: pd.DataFrame) -> pd.DataFrame:
    """Whether each image stands, `(images, rungs)` bool, from one row's records."""
    return samples.pivot_table(index="index", columns="rung", values="robust", aggfunc="all").astype(bool)
