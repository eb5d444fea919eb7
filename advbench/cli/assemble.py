"""From the words of a command line to the objects that the library works with."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from advbench.attacks import ATTACKS
from advbench.cli.ranks import Ranks
from advbench.cli.subject import Named, Subject, add_named, describe, load_subject, make_threat, names_of
from advbench.data.load import find_dataset
from advbench.errors import InputError, SpecError
from advbench.jobs.settings.run import RunSettings
from advbench.names import registry
from advbench.names.grammar import Spec, parse_spec
from advbench.results.records import LADDER, Rung
from advbench.threat.attack import Attack
from advbench.threat.threat import Threat


class Job(NamedTuple):
    """Everything that one `advbench attack` works with."""

    subject: Subject
    attacks: Named
    rungs: tuple[Rung, ...]
    """What is run beside the clean rung, in the order of the ladder."""
    gradient_free: Named
    """The attack of the gradient-free rung, where that is run."""


def assemble(options: RunSettings, ranks: Ranks) -> Job:
    """Find, load and check everything that the words name, the cheapest first.

    Raises:
        InputError: whatever is wrong, in one line.
    """
    threat = make_threat(options.subject, find_dataset(names_of(options.subject)[1]))
    attacks, rungs = make_attacks(options, threat), rungs_of(options)
    queries = _gradient_free(options, threat) if "gradient_free" in rungs else Named({}, {})
    subject = load_subject(options.subject, ranks, options.batch_size)
    if len(subject.indices) < ranks.count:
        raise InputError(f"{ranks.count} processes cannot share {len(subject.indices)} images; start fewer.")
    return Job(subject, attacks, rungs, queries)


def make_attacks(options: RunSettings, threat: Threat) -> Named:
    """The attacks, with the options that hold for all of them; what a spec says itself wins."""
    shared = shared_parameters(options)
    made: dict[str, Attack] = {}
    taken: set[str] = set()
    for text in options.attacks:
        full = full_attack(text, shared)
        taken |= full.taken
        add_named(made, str(full.spec), registry.build(full.factory, full.spec, "attack"), "attack")
    for name in shared.keys() - taken:
        raise SpecError(f"--{name.replace('_', '-')} fits none of the attacks {', '.join(made)}.")
    return Named(dict(made), {name: describe(each, threat) for name, each in made.items()})


def rungs_of(options: RunSettings) -> tuple[Rung, ...]:
    """What is run beside the clean rung, in the order of the ladder.

    Raises:
        SpecError: a rung that there is not.
    """
    if options.wants_ladder:
        return LADDER
    wanted = ["shattered", *(["bpda"] if options.wants_bpda else []), *listed(options.rungs)]
    unknown = [each for each in wanted if each not in LADDER]
    if unknown:
        raise SpecError(f"there is no rung {unknown[0]!r}; known: {', '.join(LADDER)}.")
    return tuple(each for each in LADDER if each in wanted)


def gradient_free_attack(options: RunSettings) -> tuple[str, Attack]:
    """The attack of the gradient-free rung, and its name.

    Raises:
        SpecError: none that there is.
    """
    full = full_attack(options.gradient_free, {})
    return str(full.spec), registry.build(full.factory, full.spec, "attack")


def _gradient_free(options: RunSettings, threat: Threat) -> Named:
    name, attack = gradient_free_attack(options)
    return Named({name: attack}, {name: describe(attack, threat)})


def shared_parameters(options: RunSettings) -> dict[str, str]:
    """The options that hold for all attacks, as their specs would say them."""
    given = {
        "steps": None if options.steps is None else str(options.steps),
        "step_size": options.step_size,
        "restarts": None if options.restarts is None else str(options.restarts),
        "random_start": None if options.random_start else "false",
    }
    return {name: text for name, text in given.items() if text is not None}


class FullAttack(NamedTuple):
    """An attack with all its parameters, what makes it, and which parameters were not its spec's own."""

    spec: Spec
    factory: Callable[..., Any]
    taken: frozenset[str]


def full_attack(text: str, shared: Mapping[str, str]) -> FullAttack:
    """An attack's spec with those shared parameters that it has and does not say otherwise.

    Raises:
        SpecError: an attack that there is not, or one with a place.
    """
    spec = parse_spec(text)
    if spec.place is not None:
        raise SpecError(f"an attack has no place, got {text!r}.")
    factory = registry.find(ATTACKS, spec.name, "attack").load()
    known = registry.parameters(factory)
    fitting = {name: value for name, value in shared.items() if name in known}
    return FullAttack(Spec(spec.name, {**fitting, **spec.parameters}), factory, frozenset(fitting))


def listed(text: str) -> list[str]:
    """The words of `a,b`."""
    return [each.strip() for each in text.split(",") if each.strip()]
