"""The verdict of a row: is it robust, or is its gradient hidden? A short table of decisions, no score.

    unreliable            one step of the gradient fells 10 % of images more than the attack
    masked                another rung fells at least 10 % of all images that the defense's own gradient
                          left (with McNemar's exact p < 0.01)
    unreliable            the gradient attack that the row rests on had no gradient, or cannot fell images
                          at any radius, or the model's answers are no function of each image alone
    not enough evidence   a rung is missing, or more steps, one step, noise or a weaker attack do better
    robust as measured    none of these; the worst accuracy stands

The first line that holds is the verdict. Where no image stands on every rung, the attacks have done what they
should, and the third and the fourth ask for nothing but a model that can be judged. Each verdict names its
evidence, and what would mend it or make sure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from advbench.indicators import MEANINGS, Indicator
from advbench.paired import PairedCounts, count_pairs
from advbench.records import UNDEFENDED, Rung

Kind = Literal["robust as measured", "masked", "unreliable", "not enough evidence"]
KINDS: Final[tuple[Kind, ...]] = ("robust as measured", "masked", "unreliable", "not enough evidence")

HIDDEN: Final = 0.1
"""Share of all images that a gradient must have hidden for a row to be called masked. Attacks of equal worth
differ by a few per cent of images near the boundary: PGD and AutoAttack by 5 on an adversarially trained
LeNet."""

SURE: Final = 0.01
DOUBT: Final = 0.05
"""McNemar's p below which one rung is called better than another, and below which it may be."""

FLAT: Final = 0.05
"""Share of all images that may stand without having shown an attack any gradient."""

_NAMES: Final[Mapping[Rung, str]] = {
    "static": "examples made on the undefended model",
    "bpda": "attacks with BPDA",
    "gradient_free": "gradient-free attacks",
}


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


def verdict_of(
    standing: pd.DataFrame,
    samples: pd.DataFrame,
    indicators: Sequence[Indicator],
    doubts: Sequence[str],
    defense: str,
) -> Verdict:
    """The verdict of one row.

    Args:
        standing: whether each image stands, a column a rung that was run, a row an image.
        samples: the records of the row's gradient attacks.
        indicators: those of its defense and attack.
        doubts: why the model's answers are no function of the image alone.
        defense: whose row it is.
    """
    tripped = {each.name: each for each in indicators if each.tripped}
    best: Rung = "bpda" if "bpda" in standing else "shattered"
    plateau_known = any(each.name == "plateau" for each in indicators)
    decisions: list[tuple[Kind, list[tuple[str, str]]]] = [
        ("unreliable", list(_weak(tripped))),
        ("masked", list(_hidden(standing))),
        ("unreliable", list(_broken(samples, tripped, doubts, best, len(standing)))),
        (
            "not enough evidence",
            list(_unsettled(standing, tripped, best, defense, plateau_known=plateau_known)),
        ),
    ]
    if not standing.all(axis=1).any():
        # What has fallen for a judge to see needs no further evidence, if the judge can be trusted.
        decisions[2:] = [("unreliable", [(doubt, "") for doubt in doubts])]
    for kind, found in decisions:
        if found:
            return Verdict(kind, tuple(why for why, _ in found), tuple(then for _, then in found if then))
    return Verdict("robust as measured")


def paired(standing: pd.DataFrame, one: Rung, other: Rung) -> PairedCounts:
    """Two rungs on the same images."""
    return count_pairs(standing[one].to_numpy(), standing[other].to_numpy())


def _weak(tripped: Mapping[str, Indicator]) -> Iterator[tuple[str, str]]:
    """An attack that one step of its own gradient beats says nothing about the gradient."""
    if "one_step" in tripped and tripped["one_step"].value >= HIDDEN:
        yield _told(tripped["one_step"])


def _hidden(standing: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """The rung that shows most of what the defense's own gradient has hidden."""
    compared = {rung: paired(standing, "shattered", rung) for rung in _NAMES if rung in standing}
    shown = {
        rung: pairs for rung, pairs in compared.items() if pairs.difference >= HIDDEN and pairs.p_value < SURE
    }
    if shown:
        rung = max(shown, key=lambda each: shown[each].difference)
        left = int(standing["shattered"].sum())
        told = f"{_NAMES[rung]} fell {shown[rung].only_first} of the {left} images that its own gradient left"
        yield f"{told} (p {_p(shown[rung].p_value)})", ""


def _broken(
    samples: pd.DataFrame,
    tripped: Mapping[str, Indicator],
    doubts: Sequence[str],
    best: Rung,
    n: int,
) -> Iterator[tuple[str, str]]:
    """Why the attacks cannot have shown what they should."""
    for doubt in doubts:
        yield doubt, ""
    mine = samples[samples["rung"] == best]
    stood = mine["robust"].to_numpy(dtype=bool)
    flat = int((stood & mine["flat_gradient"].to_numpy(dtype=bool)).sum())
    if flat > FLAT * n:
        advice = "--bpda" if best == "shattered" else "--substitute search"
        yield f"{flat} of {n} images stand without a gradient to follow", advice
    undecided = int((mine["prediction"] < 0).sum())
    if undecided > FLAT * n:
        yield f"{undecided} of {n} examples gave NaN logits", "mend the model's numbers"
    if "unbounded" in tripped:
        yield _told(tripped["unbounded"])


def _unsettled(
    standing: pd.DataFrame, tripped: Mapping[str, Indicator], best: Rung, defense: str, *, plateau_known: bool
) -> Iterator[tuple[str, str]]:
    """What a stronger look could still change."""
    needed: list[Rung] = ["gradient_free"] if defense == UNDEFENDED else ["static", "bpda", "gradient_free"]
    missing = [rung for rung in needed if rung not in standing]
    if missing:
        yield f"not run: {', '.join(missing)}", "--ladder"
    for rung in ("static", "gradient_free"):
        if rung in standing:
            pairs = paired(standing, best, rung)
            if pairs.difference > 0.0 and pairs.p_value < DOUBT:
                told = f"{_NAMES[rung]} leave {100 * pairs.difference:.1f} points less than {best}"
                yield f"{told} (p {_p(pairs.p_value)})", "a stronger attack: --attack strongest"
    signs = ["plateau", "one_step", "noise", "wider"]
    if not plateau_known:  # else what comes of more steps is known, and how the loss behaved is beside it
        signs.append("incomplete")
    for name in signs:
        if name in tripped:
            yield _told(tripped[name])


def _told(indicator: Indicator) -> tuple[str, str]:
    return indicator.sentence, MEANINGS[indicator.name].advice


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"


def standing_of(samples: pd.DataFrame) -> pd.DataFrame:
    """Whether each image stands, `(images, rungs)` bool, from one row's records."""
    return samples.pivot_table(index="index", columns="rung", values="robust", aggfunc="all").astype(bool)
