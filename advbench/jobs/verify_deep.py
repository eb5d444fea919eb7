"""What a run measured beside its records, measured again with its attacks, and compared up to rounding."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, NamedTuple

import pandas as pd

from advbench.attacks import ATTACKS
from advbench.defended.surrogate import Surrogate
from advbench.draws.calls import ATTACK_DRAWS
from advbench.errors import InputError
from advbench.evaluation.choose_substitutes import options_for
from advbench.evaluation.measure_again import Again, measured_again
from advbench.evaluation.plan import CALIBRATION, Plan
from advbench.evaluation.settle_detectors import Settlement
from advbench.jobs.budget import check_attack_budget
from advbench.jobs.build_attacks import full_attack
from advbench.jobs.build_subject import Subject, describe
from advbench.jobs.check import Check
from advbench.jobs.compare_records import other_records
from advbench.jobs.state_digest import state_digest
from advbench.jobs.untrusted_run import Claims
from advbench.jobs.verify_substitutes import network_in
from advbench.names import registry
from advbench.names.grammar import parse_spec
from advbench.regular_files import read_if_there
from advbench.results.indicators import Indicator
from advbench.results.records import Candidate
from advbench.results.table import Heading, rows_of
from advbench.runs.folder import LARGEST_NETWORK, SUBSTITUTES
from advbench.runs.manifest import Manifest
from advbench.runs.provenance import is_here
from advbench.runs.typed_json import Count
from advbench.speed.working_copy import Copies, Precision
from advbench.threat.attack import Attack

_OWN: Final = ("advbench.attacks.", "advbench.attacks.of_")
"""Where the package's own attacks are, and where those of other libraries are reached from."""
_SUMS: Final = ("agreement", "unstable", "border_gradient", "zero_coordinates")
"""Indicators that are sums of fractions; the others count images."""


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The settings that decide what is measured beside the records."""

    attacks: Mapping[str, Any]
    gradient_free: Mapping[str, Any]
    label_only: Mapping[str, Any] = field(default_factory=dict)
    eot: Count
    judge_draws: Count
    calibration: Count | None = None
    substitute: tuple[str, ...] | None = None
    fast: bool = True
    precision: Precision = "fp32"
    compile: bool = False
    attack_draws: str = ""

    @property
    def all_attacks(self) -> dict[str, Any]:
        """Those of every rung, by their names."""
        return {**self.attacks, **self.gradient_free, **self.label_only}


class Slack(NamedTuple):
    """What rounding may change: nothing of a count on the same machine, an image or so on another one."""

    images: int
    share: float
    weights: float
    """Of a fitted network, relative to their norm: training carries the last bit further."""


_HERE: Final = Slack(0, 1e-4, 1e-3)
_ELSEWHERE: Final = Slack(1, 1e-3, 5e-2)


def check_deeply(  # noqa: PLR0917  # a run, and what is known of it
    claims: Claims,
    subject: Subject,
    samples: pd.DataFrame,
    heading: Heading,
    settlement: Settlement,
    surrogate: Surrogate | None = None,
    *,
    no_limit: bool = False,
) -> Iterator[Check]:
    """Search, fit and measure again what the run's verdicts rest on beside its records.

    Args:
        claims: the run's account of itself.
        subject: what was attacked.
        samples: the records of the whole run.
        heading: what the table is about.
        settlement: the defenses, whose detectors refuse where clean images say.
        surrogate: what was differentiated in place of the model; None where nothing was, or nobody gave it.
        no_limit: whether attacks may take as many steps as the run says.

    Raises:
        RunFolderError: attacks of more steps than the budget.
    """
    if claims.surrogate.name and surrogate is None:
        sentence = (
            f"nothing: the surrogate {claims.surrogate.name} is code of the user's own, which --deep needs"
        )
        yield Check("measured again", True, f"{sentence}; name it again with --surrogate")
        return
    if surrogate is not None and surrogate.network is not None:
        holds = state_digest(surrogate.network) == claims.surrogate.state
        yield Check("surrogate", holds, "as recorded" if holds else "it is not the one that the run had")
        if not holds:
            return
    settings = claims.manifest.group("settings", _Settings)
    if subject.draws and settings.attack_draws != ATTACK_DRAWS:
        yield Check("measured again", True, "nothing: the attacks of an earlier version met other draws")
        return
    if not no_limit:
        check_attack_budget(tuple(settings.all_attacks), subject.defenses.objects, settings.eot)
    attacks, strange = _attacks(settings.all_attacks)
    if strange:
        yield Check(
            "measured again",
            True,
            f"nothing: {strange} is no attack of the package's own, which --deep needs",
        )
        return
    wrong = _misdescribed(attacks, settings.all_attacks, subject)
    yield Check("attacks", not wrong, wrong or f"{', '.join(attacks)}: as the settings describe them")
    again = _measured(
        settings,
        attacks,
        claims,
        subject,
        samples=samples,
        heading=heading,
        settlement=settlement,
        surrogate=surrogate,
    )
    slack = _HERE if is_here(claims.manifest.values, subject.device) else _ELSEWHERE
    wrong = _other_indicators(heading.indicators, again.indicators, slack)
    count = len(again.indicators)
    yield Check("indicators again", not wrong, wrong or f"{count} measured again come to the same")
    wrong = _other_substitutes(claims.manifest, heading, again, slack)
    wrong = wrong or _other_likeness(heading, again, slack)
    yield Check("substitutes again", not wrong, wrong or "searched and fitted again, they are the same")
    wrong = other_records(samples, again.records, exact=slack is _HERE)
    several = f"{len(again.records)} made again, on a sample of the images, come to the same"
    yield Check("records again", not wrong, wrong or several)
    yield _check_doubts(heading, again)
    yield _check_verdicts(samples, heading, again)


def _attacks(described: Mapping[str, Any]) -> tuple[dict[str, Attack], str]:
    """The attacks by their names; the second is the first that is not the package's own, empty without."""
    made: dict[str, Attack] = {}
    for name, settings in described.items():
        is_object = isinstance(settings, Mapping) and "state" in settings
        try:
            factory = registry.find(ATTACKS, parse_spec(name).name, "attack").factory
            if is_object or not factory.startswith(_OWN[0]) or factory.startswith(_OWN[1]):
                return made, name
            full = full_attack(name, {})
            made[name] = registry.build(full.factory, full.spec, "attack")
        except InputError:
            return made, name
    return made, ""


def _misdescribed(attacks: Mapping[str, Attack], described: Mapping[str, Any], subject: Subject) -> str:
    """Which attack's settings are not those that its name comes to; empty where all are."""
    for name, attack in attacks.items():
        if json.loads(json.dumps(describe(attack, subject.threat))) != described[name]:
            return f"the settings of {name} are not those that its name comes to"
    return ""


def _measured(
    settings: _Settings,
    attacks: Mapping[str, Attack],
    claims: Claims,
    subject: Subject,
    *,
    samples: pd.DataFrame,
    heading: Heading,
    settlement: Settlement,
    surrogate: Surrogate | None,
) -> Again:
    chains = settlement.chains
    plan = Plan(
        model=subject.classifier.model,
        dataset=subject.images,
        chains=chains,
        attacks={name: attacks[name] for name in settings.attacks},
        threat=subject.threat,
        rungs=claims.rungs,
        tests=claims.tests,
        seed=claims.subject.seed,
        eot=settings.eot,
        judge_draws=claims.judge,
        images=subject.indices,
        gradient_free={name: attacks[name] for name in settings.gradient_free},
        label_only={name: attacks[name] for name in settings.label_only},
        calibrate_on=CALIBRATION if settings.calibration is None else settings.calibration,
        surrogate=None if surrogate is None else replace(surrogate, name=claims.surrogate.name),
    )
    wanted = settings.substitute or ()
    options = {defense: options_for(defense, chain, wanted) for defense, chain in chains.items() if chain}
    copies = Copies(settings.fast, settings.precision, settings.compile)
    again = measured_again(plan, options, samples, heading, batch_size=claims.batch_size, copies=copies)
    doubts = {name: (*known, *settlement.doubts.get(name, ())) for name, known in again.doubts.items()}
    return again._replace(doubts=doubts)


def _other_indicators(recorded: tuple[Indicator, ...], again: tuple[Indicator, ...], slack: Slack) -> str:
    """Which indicators rounding does not explain, in words; empty without any."""
    wanted = {(one.defense, one.attack, one.rung, one.name): one for one in again}
    if len(recorded) != len(wanted):
        return f"{len(recorded)} are told, and {len(wanted)} are measured"
    wrong = []
    for one in recorded:
        key = (one.defense, one.attack, one.rung, one.name)
        if key not in wanted or not _near(one, wanted[key], slack):
            value = "none" if key not in wanted else f"{wanted[key].part:g} of {wanted[key].whole:g}"
            wrong.append(
                f"{' · '.join(filter(None, key))} is told as {one.part:g} of {one.whole:g}, measured {value}"
            )
    more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return "; ".join(wrong[:3]) + more


def _near(one: Indicator, other: Indicator, slack: Slack) -> bool:
    if one.name in _SUMS:
        room = slack.share * max(1.0, other.whole)
        return abs(one.part - other.part) <= room and abs(one.whole - other.whole) <= slack.images
    return one.whole == other.whole and abs(one.part - other.part) <= slack.images


def _other_substitutes(manifest: Manifest, heading: Heading, again: Again, slack: Slack) -> str:
    """What stands in otherwise when it is looked for again, in words; empty where nothing does."""
    for defense, words in again.substitutes.items():
        if heading.substitutes[defense] != words and not slack.images:
            return f"{defense}: {heading.substitutes[defense]!r} is told, and {words!r} is found"
    recorded = {(one.defense, one.substitute): one for one in manifest.candidates}
    measured = {(one.defense, one.substitute): one for one in again.candidates}
    if recorded.keys() != measured.keys():
        return f"{len(recorded)} candidates are told, and {len(measured)} are there"
    for key, candidate in measured.items():
        if not _alike(recorded[key], candidate, slack):
            return f"{' · '.join(key)} is told as {_figures(recorded[key])}, graded {_figures(candidate)}"
    for name, contents in again.kept.items():
        file = manifest.path / SUBSTITUTES / name
        if name.endswith(".safetensors") and not _same_network(
            read_if_there(file, LARGEST_NETWORK) or b"", contents, slack, name.partition("-")[0]
        ):
            return f"{name} is not the network that is fitted"
    strange = {path.name for path in (manifest.path / SUBSTITUTES).glob("*")} - again.kept.keys()
    return f"{min(strange)} is nothing that a search keeps" if strange else ""


def _other_likeness(heading: Heading, again: Again, slack: Slack) -> str:
    """In what the surrogate is less or more like the model than is told, in words; empty without any."""
    recorded, measured = heading.surrogate, again.likeness
    if recorded is None or measured is None:
        return "" if recorded is measured else "a surrogate is told, and there is none, or one is not told"
    near = abs(recorded.agreeing - measured.agreeing) <= slack.images
    if near and (recorded.n, recorded.stepwise) == (measured.n, measured.stepwise):
        return ""
    share = f"{recorded.agreeing} of {recorded.n}"
    return f"the surrogate is told to agree on {share}, and agrees on {measured.agreeing}"


def _alike(one: Candidate, other: Candidate, slack: Slack) -> bool:
    near = abs((one.standing or 0) - (other.standing or 0)) <= slack.images
    near &= abs((one.agreement or 0.0) - (other.agreement or 0.0)) <= slack.share
    left = ("standing", "agreement", *(("rank",) if slack.images else ()))
    return near and all(
        value == getattr(other, name) for name, value in asdict(one).items() if name not in left
    )


def _figures(one: Candidate) -> str:
    return f"{one.standing} of {one.n}, agreement {one.agreement}, rank {one.rank}"


def _same_network(one: bytes, other: bytes, slack: Slack, kind: str) -> bool:
    networks = [network_in(contents, kind) for contents in (one, other)]
    first, second = (None if network is None else network.state_dict() for network in networks)
    if first is None or second is None or first.keys() != second.keys():
        return False
    if any(first[name].shape != tensor.shape for name, tensor in second.items()):
        return False
    return all(
        float((first[name] - tensor).norm()) <= slack.weights * max(1e-6, float(tensor.norm()))
        for name, tensor in second.items()
    )


def _check_doubts(heading: Heading, again: Again) -> Check:
    """Whether the model's answers are doubted as they were; the figures in the sentences may differ."""
    for defense, doubts in again.doubts.items():
        recorded = [_without_figures(doubt) for doubt in heading.doubts.get(defense, ())]
        missing = [doubt for doubt in doubts if _without_figures(doubt) not in recorded]
        if missing:
            return Check("doubts again", False, f"{defense}: not told, and found: {missing[0]}")
        if len(recorded) > len(doubts):
            return Check(
                "doubts again", False, f"{defense}: {len(recorded)} are told, and {len(doubts)} found"
            )
    return Check("doubts again", True, f"{sum(map(len, again.doubts.values()))} found, as told")


def _without_figures(text: str) -> str:
    return "".join(letter for letter in text if not letter.isdigit())


def _check_verdicts(samples: pd.DataFrame, heading: Heading, again: Again) -> Check:
    """Whether what was measured again gives the same verdicts."""
    fresh = heading.with_indicators(again.indicators).with_doubts(again.doubts)
    for recorded, measured in zip(rows_of(samples, heading), rows_of(samples, fresh), strict=True):
        kinds = [row.verdict.partition(":")[0] for row in (recorded, measured)]
        if kinds[0] != kinds[1]:
            sentence = f"{recorded.defense} under {recorded.attack}: {kinds[0]} is told, {kinds[1]} is found"
            return Check("verdicts again", False, sentence)
    return Check("verdicts again", True, "the same by what was measured again")
