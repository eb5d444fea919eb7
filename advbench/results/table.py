"""From samples to the rows of the table: the same samples give the same rows, whoever counts them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any, Final, NamedTuple

import pandas as pd

from advbench.results.advice import Setup
from advbench.results.chance import chance_told
from advbench.results.detecting import Detecting, implied
from advbench.results.indicators import Indicator, incomplete
from advbench.results.judging import Judging
from advbench.results.over_draws import over_draws
from advbench.results.records import (
    REFUSED,
    RUNGS,
    SHARED,
    UNDECIDED,
    UNDEFENDED,
    Rate,
    Refused,
    Row,
    Rung,
    Spread,
)
from advbench.results.statistics import PairedCounts
from advbench.results.surrogates import LEFT_OUT, Likeness
from advbench.results.verdict import RULES, Case, Verdict, paired, standing_of, verdict_of

ATTACKED: Final[tuple[Rung, ...]] = ("static", "shattered", "bpda")
"""The rungs of each attack."""

NEEDS_DEFENSE: Final[Mapping[Rung, str]] = {
    "static": "the examples are made on it",
    "bpda": "no defense to substitute",
}
"""The rungs that an undefended model has not, and why."""


class Cell(NamedTuple):
    """One rung of one defense and attack; the clean rung belongs to no attack."""

    defense: str
    attack: str
    rung: Rung

    def records(self, samples: pd.DataFrame) -> pd.DataFrame:
        """Those of the records that are its own."""
        in_row = samples["defense"].eq(self.defense) & samples["attack"].eq(self.attack)
        return samples[in_row & samples["rung"].eq(self.rung)]


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What a table is about: everything in its rows but the numbers.

    Args:
        model: the model's name.
        dataset: the data set's name.
        norm: the threat's norm.
        eps: the threat's radius as it was written.
        attacks: the attacks, in the order of the rows.
        substitutes: what stands in for each defense; the keys are the defenses in the order of the
            rows, the undefended model first.
        rungs: what was asked for beside the clean rung, in the order of the ladder.
        gradient_free: the attack of the gradient-free rung; empty without.
        indicators: what was measured of the attacks themselves, where the whole ladder was climbed.
        doubts: for each defense, what keeps its answers from being a function of each image alone.
        notes: how the model was understood, where that had to be found out, a sentence each.
        detectors: of the defenses that may refuse an image, where their detectors do.
        rules: by which table of decisions its verdicts were written (`verdict.RULES`).
        judging: by which rule random defenses were judged; None for the majority.
        surrogate: what the gradients of the bpda rungs come from, where that is not the model.
        source: what the static examples are made on; empty for the undefended model, `none` where the rung is
            left out.
        label_only: the attack of the label-only rung; empty without.
    """

    model: str
    dataset: str
    norm: str
    eps: str
    attacks: tuple[str, ...]
    substitutes: Mapping[str, str]
    rungs: tuple[Rung, ...]
    gradient_free: str = ""
    indicators: tuple[Indicator, ...] = ()
    doubts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    detectors: Mapping[str, tuple[Detecting, ...]] = field(default_factory=dict)
    rules: int = RULES
    judging: Judging | None = None
    surrogate: Likeness | None = None
    source: str = ""
    label_only: str = ""

    def as_record(self) -> dict[str, Any]:
        """The heading for `run.json`, without what came later and says nothing."""
        late = ("detectors", "judging", "surrogate", "source", "label_only")
        return {name: value for name, value in asdict(self).items() if name not in late or value}

    def notes_of(self, defense: str) -> tuple[str, ...]:
        """What a reader of a row has to know: of the model, how it was attacked, and how it was judged."""
        beside = [] if self.surrogate is None or self.surrogate.n == 0 else [self.surrogate.sentence]
        if "static" in self.rungs and self.source not in ("", LEFT_OUT):
            beside.append(f"static examples are made on {self.source}")
        return (*self.notes, *beside, *(() if self.judging is None else self.judging.notes(defense)))

    @property
    def doubts_of_surrogate(self) -> tuple[str, ...]:
        """What makes the gradients of a surrogate less than they seem."""
        return tuple(filter(None, [] if self.surrogate is None else [self.surrogate.doubt]))

    def judged_by_fixed_seed(self, defense: str) -> bool:
        """Whether the judge gave a random defense the draws that the attack saw."""
        rule = None if self.judging is None else self.judging.rule_of(defense)
        return rule is not None and rule.is_fixed

    def with_doubts(self, doubts: Mapping[str, tuple[str, ...]]) -> "Heading":
        """The same table with other doubts."""
        return replace(self, doubts=doubts)

    def with_notes(self, notes: Iterable[str]) -> "Heading":
        """The same table with notes on how the model was understood."""
        return replace(self, notes=tuple(notes))

    def with_detectors(self, detectors: Mapping[str, tuple[Detecting, ...]]) -> "Heading":
        """The same table with where detectors refuse."""
        return replace(self, detectors=detectors)

    def with_substitutes(self, substitutes: Mapping[str, str]) -> "Heading":
        """The same table with other substitutes, for the defenses that are named."""
        return replace(self, substitutes={**self.substitutes, **substitutes})

    def with_indicators(self, indicators: Iterable[Indicator]) -> "Heading":
        """The same table with what was measured of the attacks."""
        return replace(self, indicators=tuple(indicators))

    def cells(self) -> list[Cell]:
        """Every rung that is run, in the order of the table and the ladder."""
        cells = []
        for defense in self.substitutes:
            cells.append(Cell(defense, "", "clean"))
            for attack in self.attacks:
                cells += [Cell(defense, attack, rung) for rung in ATTACKED if self.has(rung, defense)]
            if "gradient_free" in self.rungs:
                cells.append(Cell(defense, self.gradient_free, "gradient_free"))
            if "label_only" in self.rungs:
                cells.append(Cell(defense, self.label_only, "label_only"))
        return cells

    def has(self, rung: Rung, defense: str) -> bool:
        """Whether a rung was asked for and makes sense: an undefended model has no gradient to restore."""
        return rung in self.rungs and (defense != UNDEFENDED or rung not in self._needing_a_defense)

    @property
    def _needing_a_defense(self) -> set[Rung]:
        """The rungs that the undefended model has not: a surrogate and another source give it both."""
        given: dict[Rung, bool] = {
            "bpda": self.surrogate is not None,
            "static": self.source not in ("", LEFT_OUT),
        }
        return {rung for rung in NEEDS_DEFENSE if not given[rung]}

    def reasons(self, defense: str) -> dict[Rung, str]:
        """Why a defense has no numbers of a rung that was asked for."""
        return {
            rung: reason
            for rung, reason in NEEDS_DEFENSE.items()
            if rung in self.rungs and not self.has(rung, defense)
        }


def rows_of(samples: pd.DataFrame, heading: Heading) -> tuple[Row, ...]:
    """The table that samples come to.

    Args:
        samples: one record an image and rung, columns as in `records.SAMPLE_TYPES`.
        heading: which rows there are.
    """
    return tuple(
        _row(samples, heading, defense, attack)
        for defense in heading.substitutes
        for attack in heading.attacks
    )


def _row(samples: pd.DataFrame, heading: Heading, defense: str, attack: str) -> Row:
    records, may_refuse = of_row(samples, defense, attack), defense in heading.detectors
    rule = None if heading.judging is None else heading.judging.rule_of(defense)
    rates = rates_of(records, defense, attack, worst="worst" in heading.rungs, may_refuse=may_refuse)
    if rule is not None:
        rates = over_draws(records, rates, rule)
    doubts, standing = heading.doubts.get(defense, ()), standing_of(records)
    verdict = _verdict(records, standing, heading, defense, attack) if "worst" in heading.rungs else None
    return Row(
        model=heading.model,
        dataset=heading.dataset,
        n=rates["clean"].n,
        defense=defense,
        norm=heading.norm,
        eps=heading.eps,
        attack=attack,
        rates=rates,
        reasons=heading.reasons(defense),
        pairs=pairs_of(standing),
        substitute=heading.substitutes[defense] if "bpda" in heading.rungs else "",
        verdict="" if verdict is None else str(verdict),
        advice=() if verdict is None else verdict.advice,
        warnings=(
            *doubts,
            *heading.doubts_of_surrogate,
            *warnings_of(records, defense, attack),
            *_of_tests(heading, defense, attack),
        ),
        notes=(*heading.notes_of(defense), *_of_detectors(rates, heading, defense)),
        judge="" if rule is None else rule.rule,
    )


def _of_detectors(rates: Mapping[Rung, Rate], heading: Heading, defense: str) -> Iterator[str]:
    """Where the detectors of a row refuse, and what they would imply."""
    detectors = heading.detectors.get(defense, ())
    if detectors:
        yield from (detecting.sentence for detecting in detectors)
        attacked = [(rung, rate) for rung, rate in rates.items() if rung != "clean"]
        yield from filter(None, [implied(attacked, heading.norm, heading.eps)])


def _of_tests(heading: Heading, defense: str, attack: str) -> Iterator[str]:
    """What a test of the attacks says of itself: one that random points pass too is no evidence."""
    for indicator in heading.indicators:
        own = indicator.defense == defense and indicator.attack == attack
        if own and indicator.name == "binarization_random" and indicator.tripped:
            yield indicator.sentence


def _verdict(
    records: pd.DataFrame, standing: pd.DataFrame, heading: Heading, defense: str, attack: str
) -> Verdict:
    measured = [
        indicator
        for indicator in heading.indicators
        if indicator.defense == defense and indicator.attack in ("", attack)
    ]
    rungs: tuple[Rung, ...] = ("shattered", "bpda")
    return verdict_of(
        Case(
            standing=standing,
            samples=records,
            indicators=[
                *measured,
                *(incomplete(records, defense, attack, rung) for rung in rungs if rung in standing),
            ],
            doubts=heading.doubts.get(defense, ()),
            fixed_seed=heading.judged_by_fixed_seed(defense),
            setup=Setup(
                defense=defense,
                attack=attack,
                substitute=heading.substitutes[defense] if "bpda" in standing else "",
                gradient_free=heading.gradient_free,
                surrogate="" if heading.surrogate is None else heading.surrogate.name,
            ),
            surrogate=heading.surrogate,
            source=heading.source,
            chance=chance_told(records[records["rung"] == "clean"]),
            may_refuse=defense in heading.detectors,
        )
    )


def pairs_of(standing: pd.DataFrame) -> dict[Rung, PairedCounts]:
    """The shattered rung against each other rung that was attacked, given whether each image stands."""
    others = [rung for rung in RUNGS if rung in standing and rung not in ("clean", "shattered")]
    return {rung: paired(standing, "shattered", rung) for rung in others}


def of_row(samples: pd.DataFrame, defense: str, attack: str) -> pd.DataFrame:
    """The records of one row; some rungs belong to every attack."""
    shared = samples["rung"].isin(SHARED)
    return samples[(samples["defense"] == defense) & (shared | (samples["attack"] == attack))]


def rates_of(
    samples: pd.DataFrame, defense: str, attack: str, *, worst: bool = False, may_refuse: bool = False
) -> dict[Rung, Rate]:
    """What each rung left standing of one defense under one attack, in the order of the ladder.

    Args:
        samples: columns as in `records.SAMPLE_TYPES`.
        defense: whose row.
        attack: whose row; the rungs in `SHARED` belong to every attack.
        worst: whether to count also the images that no rung fells.
        may_refuse: whether to count what is refused.
    """
    records = of_row(samples, defense, attack)
    records_by_rung = dict(list(records.groupby("rung", sort=False)))
    rates: dict[Rung, Rate] = {
        rung: Rate(
            int(rung_records["robust"].sum()),
            len(rung_records),
            _spread(rung_records["fooled_share"]),
            _median_distance(rung_records),
            _refused(rung_records) if may_refuse else None,
        )
        for rung in RUNGS
        if (rung_records := records_by_rung.get(rung)) is not None
    }
    if worst:
        standing = records.groupby("index")["robust"].all()
        rates["worst"] = Rate(int(standing.sum()), len(standing))
    return rates


def _refused(samples: pd.DataFrame) -> Refused:
    """How many images a detector refuses, and how many it accepts that are right."""
    refused = samples["prediction"] == REFUSED
    return Refused(int(refused.sum()), int((samples["robust"] & ~refused).sum()))


def _spread(share: "pd.Series[float]") -> Spread | None:
    """What single draws come to: each image stands in a draw with the share of those that it stood in."""
    if share.isin([0.0, 1.0]).all():
        return None
    return Spread(1.0 - float(share.mean()), float((share * (1.0 - share)).sum() ** 0.5) / len(share))


def _median_distance(samples: pd.DataFrame) -> float | None:
    """The median smallest perturbation, where an attack has found some beyond the radius too."""
    smallest = samples["smallest"]
    if not (samples["robust"] & smallest.notna()).any():
        return None
    median = float(smallest.fillna(float("inf")).median())
    return median if isfinite(median) else None


def warnings_of(samples: pd.DataFrame, defense: str, attack: str) -> list[str]:
    """What the samples of one row say against its numbers, a sentence each.

    A zero gradient is what the shattered rung of a defense is there to show. On the undefended model, and
    behind a substitute, it means that the attack had nothing to follow.
    """
    row_records = samples[
        (samples["defense"] == defense) & (samples["attack"] == attack) & (samples["queries"] > 0)
    ]
    warnings = []
    for rung, records in row_records.groupby("rung", sort=False):
        flat = int(records["flat_gradient"].sum())
        if flat and (defense == UNDEFENDED or rung == "bpda"):
            warnings.append(
                f"{rung}: the gradient was zero or undefined for {flat} of {len(records)} images, so that "
                "nothing was attacked there (a saturated loss? try pgd:loss=margin; a cut graph? look at the "
                "model or the substitute)"
            )
        undecided = int((records["prediction"] == UNDECIDED).sum())
        if undecided:
            warnings.append(
                f"{rung}: {undecided} of {len(records)} examples gave NaN logits and count as robust"
            )
    return warnings


def warnings_told(rows: Iterable[Row]) -> list[str]:
    """The warnings of all rows as `run.json` lists them."""
    return [f"{row.defense}, {row.attack}: {warning}" for row in rows for warning in row.warnings]
