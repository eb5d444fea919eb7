"""From the words of a command line to the objects that the library works with."""

from collections.abc import Sequence
from typing import NamedTuple

from advbench import registry
from advbench.attacks import ATTACKS
from advbench.cli.options import AttackOptions
from advbench.cli.ranks import Ranks
from advbench.cli.subject import Named, Subject, add_named, describe, load_subject, make_threat, names_of
from advbench.data.load import find_dataset
from advbench.errors import InputError, SpecError
from advbench.interfaces import Attack
from advbench.spec import Spec, parse_spec
from advbench.threat import Threat


class Job(NamedTuple):
    """Everything that one `advbench attack` works with."""

    subject: Subject
    attacks: Named


def assemble(options: AttackOptions, ranks: Ranks) -> Job:
    """Find, load and check everything that the words name, the cheapest first.

    Raises:
        InputError: whatever is wrong, in one line.
    """
    threat = make_threat(options.subject, find_dataset(names_of(options.subject)[1]))
    attacks = make_attacks(options, threat)
    subject = load_subject(options.subject, ranks)
    if len(subject.indices) < ranks.count:
        raise InputError(f"{ranks.count} processes cannot share {len(subject.indices)} images; start fewer.")
    return Job(subject, attacks)


def make_attacks(options: AttackOptions, threat: Threat) -> Named:
    """The attacks, with the options that hold for all of them; what a spec says itself wins."""
    given = {
        "steps": None if options.steps is None else str(options.steps),
        "step_size": options.step_size,
        "restarts": None if options.restarts is None else str(options.restarts),
        "random_start": None if options.random_start else "false",
    }
    shared = {name: text for name, text in given.items() if text is not None}
    made: dict[str, Attack] = {}
    taken: set[str] = set()
    for text in options.attacks:
        spec = parse_spec(text)
        if spec.place is not None:
            raise SpecError(f"an attack has no place, got {text!r}.")
        factory = registry.find(ATTACKS, spec.name, "attack").load()
        known = registry.parameters(factory)
        fitting = {name: value for name, value in shared.items() if name in known}
        taken |= fitting.keys()
        spec = Spec(spec.name, {**fitting, **spec.parameters})
        add_named(made, str(spec), registry.build(factory, spec, "attack"), "attack")
    for name in shared.keys() - taken:
        raise SpecError(f"--{name.replace('_', '-')} fits none of the attacks {', '.join(made)}.")
    return Named(dict(made), {name: describe(each, threat) for name, each in made.items()})


def formats_of(text: str, known: Sequence[str]) -> list[str]:
    """The formats of `--format a,b`.

    Raises:
        SpecError: an unknown one.
    """
    formats = [each.strip() for each in text.split(",") if each.strip()]
    unknown = [each for each in formats if each not in known]
    if unknown:
        raise SpecError(f"there is no format {unknown[0]!r}; known: {', '.join(known)}.")
    return formats
