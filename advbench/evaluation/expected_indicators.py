"""Which indicators a run must have, and what each can come to, from its records alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from advbench.evaluation.binarization import OUTCOMES, TESTED
from advbench.evaluation.measure_indicators import PROBED
from advbench.evaluation.plan import probe_of
from advbench.names.adaptation import declared_batch
from advbench.results.indicators import Indicator, Test
from advbench.results.records import Rung
from advbench.results.table import Cell, Heading
from advbench.threat.threat import Threat

_OF_THE_MODEL = ("softmax_output", "few_classes", "autograd_in_forward")
_OF_GRADIENTS = ("zero_gradient:ce", "zero_gradient:margin", "zero_gradient:dlr", "unstable")
_OF_SOME = ("border_gradient", "agreement")  # of the images for which there is something to measure
_OF_ATTACKS = ("unbounded", "wider", "one_step", "noise", "plateau")
_ROUNDING = 1.0 + 1e-6

Key = tuple[str, str, Rung, str]
"""Defense, attack, rung and name of an indicator."""


class Whole(NamedTuple):
    """What an indicator is a share of: exactly, or at most."""

    most: float
    exactly: bool


def faults_of(
    heading: Heading,
    right: Mapping[str, Sequence[int]],
    images: Sequence[int],
    seed: int,
    *,
    threat: Threat,
    pixels: int,
    tests: Sequence[Test] = (),
) -> list[str]:
    """What is wrong with a run's indicators that needs no model to be seen.

    Args:
        heading: with its indicators.
        right: indices of the images that the model behind each defense gets right when they are clean.
        images: all images of the run, in its order.
        seed: of the run.
        threat: what the adversary may do.
        pixels: numbers of an image.
        tests: what was measured beside the ladder.
    """
    if "worst" not in heading.rungs:
        return ["it has indicators, and no ladder was climbed"] if heading.indicators else []
    counts = {
        defense: len(set(probe_of(images, seed, PROBED, declared_batch(defense))) & set(known))
        for defense, known in right.items()
    }
    wanted = _wanted(heading, counts, threat, pixels)
    if "binarization" in tests:
        wanted.update(_of_binarization(heading, right, len(images)))
    recorded = {
        (indicator.defense, indicator.attack, indicator.rung, indicator.name): indicator
        for indicator in heading.indicators
    }
    faults = [f"{_words(key)} is missing" for key in wanted if key not in recorded]
    faults += [f"{_words(key)} is none that a run measures" for key in recorded if key not in wanted]
    if len(recorded) < len(heading.indicators):
        faults.append("one of them is there twice")
    return faults + [
        f"{_words(key)} is {indicator.part:g} of {indicator.whole:g}, which it cannot be"
        for key, indicator in recorded.items()
        if key in wanted and not _can_be(indicator, wanted[key])
    ]


def _wanted(heading: Heading, counts: Mapping[str, int], threat: Threat, pixels: int) -> dict[Key, Whole]:
    wanted: dict[Key, Whole] = {}
    for defense, n in counts.items():
        if n == 0:
            continue
        rungs = _rungs_of(heading, defense)
        for rung in rungs:
            wanted.update(_of_a_rung(Cell(defense, "", rung), n, pixels))
        for name in _OF_THE_MODEL:
            wanted[defense, "", "clean", name] = Whole(n * len(rungs), True)
        for attack in heading.attacks:
            for name in _OF_ATTACKS:
                if name != "wider" or threat.norm != "linf" or 2 * threat.eps <= 1.0:
                    wanted[defense, attack, rungs[-1], name] = Whole(n, True)
    return wanted


def _of_binarization(heading: Heading, defenses: Iterable[str], images: int) -> Iterator[tuple[Key, Whole]]:
    for defense in defenses:
        if defense not in heading.detectors:
            for rung in _rungs_of(heading, defense):
                for attack in heading.attacks:
                    for name in OUTCOMES:
                        yield (defense, attack, rung, name), Whole(min(TESTED, images), False)


def _rungs_of(heading: Heading, defense: str) -> list[Rung]:
    """The rungs that follow a gradient of the defended model."""
    return ["shattered", "bpda"] if heading.has("bpda", defense) else ["shattered"]


def _of_a_rung(cell: Cell, n: int, pixels: int) -> Iterator[tuple[Key, Whole]]:
    for name in _OF_GRADIENTS:
        yield (*cell, name), Whole(n, True)
    for name in _OF_SOME:
        yield (*cell, name), Whole(n, False)
    yield (*cell, "zero_coordinates"), Whole(n * pixels, True)


def _can_be(indicator: Indicator, whole: Whole) -> bool:
    fits = indicator.whole == whole.most if whole.exactly else 0 <= indicator.whole <= whole.most
    least = -indicator.whole if indicator.name == "agreement" else 0.0
    return fits and least * _ROUNDING <= indicator.part <= indicator.whole * _ROUNDING


def _words(key: Key) -> str:
    return " · ".join(filter(None, (key[0], key[1], key[2], key[3])))
