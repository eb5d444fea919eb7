"""From the words of a command line to the objects that the library works with."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from advbench.attacks import ATTACKS
from advbench.data.batches import read_batch
from advbench.data.load import find_dataset
from advbench.defended.black_box import black_box_in
from advbench.defended.surrogate import NO_STAND_INS, StandIns
from advbench.errors import InputError, SpecError
from advbench.jobs import affordable_tests
from advbench.jobs.auto_attack import AUTO, resolved
from advbench.jobs.black_box import refuse_several
from advbench.jobs.black_box_attacks import Allowed, allowed
from advbench.jobs.build_subject import (
    Named,
    Subject,
    add_named,
    describe,
    describe_own,
    load_subject,
    make_threat,
    names_of,
)
from advbench.jobs.build_surrogate import check_words, make_source, make_surrogate
from advbench.jobs.objects import NO_OBJECTS, Objects
from advbench.jobs.onnx_model import lacks_gradient
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.words_or_objects import usable_name, written
from advbench.names import registry
from advbench.names.grammar import Spec, has_detector, parse_spec
from advbench.results.indicators import TESTS, Test
from advbench.results.records import ASKABLE, LADDER, Rung
from advbench.results.surrogates import LEFT_OUT
from advbench.threat.attack import Attack
from advbench.threat.threat import Threat

LABEL_ONLY: Final = "hard-label:queries=500"
"""The attack of the label-only rung where nobody names another."""


class Job(NamedTuple):
    """Everything that one `advbench attack` works with."""

    subject: Subject
    attacks: Named
    rungs: tuple[Rung, ...]
    """What is run beside the clean rung, in the order of the ladder."""
    tests: tuple[Test, ...]
    gradient_free: Named
    """The attack of the gradient-free rung, where that is run."""
    nameless: tuple[str, ...] = ()
    """Objects that no words stand for."""
    stand_ins: StandIns = NO_STAND_INS
    left_out: str = ""
    """Why a test is left out that was to be run where it is cheap."""
    label_only: Named = Named({}, {})
    """The attack of the label-only rung, where that is run."""
    remarks: tuple[str, ...] = ()
    """What the rows say of attacks that could not be made."""


def assemble(options: RunSettings, ranks: Ranks, objects: Objects = NO_OBJECTS) -> Job:
    """Find, load and check everything that the words name, the cheapest first.

    Args:
        options: the words.
        ranks: the processes that share the run.
        objects: what is given as objects, under the names that the words have.

    Raises:
        InputError: whatever is wrong, in one line.
    """
    threat = make_threat(options.subject, objects.entry or find_dataset(names_of(options.subject)[1]))
    attack_tests(options)
    check_words(
        None if objects.surrogate else options.surrogate,
        None if objects.source else options.source,
        None if objects.model else options.model,
    )
    attacks, rungs = make_attacks(options, threat, objects.attacks), rungs_of(options, objects)
    no_queries = "gradient_free" not in rungs
    queries = Named({}, {}) if no_queries else _gradient_free(options, threat, objects.gradient_free)
    labels = label_only_attack(options, threat) if "label_only" in rungs else Named({}, {})
    subject = load_subject(options.subject, ranks, options.batch_size, objects)
    if no_queries and lacks_gradient(subject.classifier.provenance):
        rungs = tuple(rung for rung in ASKABLE if rung in (*rungs, "gradient_free"))
        queries = _gradient_free(options, threat, objects.gradient_free)
    if len(subject.indices) < ranks.count:
        raise InputError(f"{ranks.count} processes cannot share {len(subject.indices)} images; start fewer.")
    refuse_several(options.subject, ranks.count)
    stand_ins = _stand_ins(options, objects, subject)
    remarks: tuple[str, ...] = ()
    if stand_ins.surrogate is None and any(text.startswith(AUTO) for text in options.attacks):
        x = read_batch(subject.images, subject.indices[:1]).to(subject.device).x
        options, remarks = resolved(options, subject.classifier.in_own_batches, x, objects.attacks.keys())
        attacks = make_attacks(options, threat, objects.attacks)
    runs = Allowed(attacks, rungs, queries)
    box = black_box_in(subject.classifier.model)
    if box is not None:
        by_labels = box.gives == "labels"
        runs = allowed(
            box,
            runs,
            label_only_attack(options, threat)
            if by_labels
            else _gradient_free(options, threat, objects.gradient_free),
            has_surrogate=stand_ins.surrogate is not None,
            own=objects.attacks.keys(),
        )
    tests, left_out = _tests(options, subject, runs.attacks, runs.gradient_free)
    return Job(
        subject,
        runs.attacks,
        runs.rungs,
        tests,
        runs.gradient_free,
        objects.nameless,
        stand_ins,
        left_out=left_out,
        label_only=labels,
        remarks=(*remarks, *runs.notes),
    )


def _tests(
    options: RunSettings, subject: Subject, attacks: Named, queries: Named
) -> tuple[tuple[Test, ...], str]:
    """The tests of the attacks, and why one is left out that was to be run where it is cheap."""
    if options.tests != (affordable_tests.AUTO,):
        return attack_tests(options), ""
    defenses = len(subject.defenses.objects)
    return affordable_tests.affordable(len(subject.indices), defenses, attacks.objects, queries.objects)


def _stand_ins(options: RunSettings, objects: Objects, subject: Subject) -> StandIns:
    """What stands in for the model, where something does."""
    classifier, images, device = subject.classifier, subject.images, subject.device
    surrogate = make_surrogate(options.surrogate, objects.surrogate, classifier, device, len(images.classes))
    data = images, objects.entry or find_dataset(subject.dataset), subject.indices
    source = make_source(options.source, objects.source, options.subject, classifier, data, device)
    left_out = objects.source is None and options.source == LEFT_OUT
    return StandIns(surrogate=surrogate, source=source, without_static=left_out)


def make_attacks(
    options: RunSettings, threat: Threat, own: Mapping[str, Attack] = MappingProxyType({})
) -> Named:
    """The attacks, with the options that hold for all of them; what a spec says itself wins.

    Args:
        options: the words.
        threat: what the adversary may do.
        own: the attacks that are given as objects, which are as they are.
    """
    shared = shared_parameters(options)
    made: dict[str, Attack] = {}
    taken: set[str] = set()
    for text in options.attacks:
        if text in own:
            add_named(made, text, own[text], "attack")
            continue
        full = full_attack(text, shared)
        taken |= full.taken
        add_named(made, str(full.spec), registry.build(full.factory, full.spec, "attack"), "attack")
    for name in shared.keys() - taken:
        raise SpecError(f"--{name.replace('_', '-')} fits none of the attacks {', '.join(made)}.")
    return Named(dict(made), {name: _settings_of(attack, threat, own) for name, attack in made.items()})


def _settings_of(attack: Attack, threat: Threat, own: Mapping[str, Attack]) -> dict[str, Any]:
    """An attack for `run.json`."""
    if any(attack is given for given in own.values()):
        return describe_own(attack, threat=threat)
    return describe(attack, threat)


def attacks_of(given: Any, what: str = "an attack") -> tuple[tuple[str, ...], dict[str, Attack]]:
    """The names of attacks that a caller gives, and those of them that are objects.

    Args:
        given: a word, an `Attack`, a list of them, or `{name: attack}`.
        what: what they are called in messages.

    Raises:
        InputError: something that is no attack, or a name that is given twice.
    """
    names: list[str] = []
    made: dict[str, Attack] = {}
    several = given if isinstance(given, list | tuple) else [given]
    pairs = given.items() if isinstance(given, Mapping) else [("", attack) for attack in several]
    for name, one in pairs:
        if isinstance(one, str) and not name:
            names.append(one)
            continue
        attack: Any = _built(one) if isinstance(one, str) else one
        if inspect.isclass(attack) or not callable(attack):
            hint = " Call it to make one." if inspect.isclass(attack) else ""
            raise InputError(f"{what} must be a word or an advbench.Attack, got {attack!r:.60}.{hint}")
        label = usable_name(name or written(attack, ATTACKS, "attack"), "attack")
        if label in names:
            raise SpecError(f"attack {label!r} is given twice; give {{name: attack}} to tell them apart.")
        names.append(label)
        made[label] = attack
    return tuple(names), made


def _built(text: str) -> Any:
    full = full_attack(text, {})
    return registry.build(full.factory, full.spec, "attack")


def rungs_of(options: RunSettings, objects: Objects = NO_OBJECTS) -> tuple[Rung, ...]:
    """What is run beside the clean rung, in the order of the ladder.

    Where something may refuse images it is also shown the examples that are made without it.

    Raises:
        SpecError: a rung that there is not.
    """
    left_out = objects.source is None and options.source == LEFT_OUT
    allowed: tuple[Rung, ...] = tuple(rung for rung in ASKABLE if not (left_out and rung == "static"))
    asked = [*listed(options.rungs), *(["label_only"] if options.label_only is not None else [])]
    if options.wants_ladder:
        return tuple(rung for rung in allowed if rung in LADDER or rung in asked)
    links = [link for chain in objects.defenses.values() for link in chain]
    may_refuse = any(link.detector is not None for link in links) or any(
        has_detector(text) for text in options.defenses if text not in objects.defenses
    )
    wanted = ["shattered", *(["bpda"] if options.wants_bpda else []), *asked]
    elsewhere = options.surrogate is not None or options.source is not None
    wanted += ["static"] if may_refuse or elsewhere else []
    unknown = [rung for rung in wanted if rung not in ASKABLE]
    if unknown:
        raise SpecError(f"there is no rung {unknown[0]!r}; known: {', '.join(ASKABLE)}.")
    return tuple(rung for rung in allowed if rung in wanted)


def attack_tests(options: RunSettings) -> tuple[Test, ...]:
    """What is measured beside the ladder.

    Raises:
        SpecError: a test that there is not, or one beside a surrogate.
    """
    auto = affordable_tests.AUTO
    if auto in options.tests and len(options.tests) > 1:
        raise SpecError(f"--test {auto} says itself what is run: give it alone, or name the tests.")
    unknown = [word for word in options.tests if word not in (*TESTS, auto)]
    if unknown:
        raise SpecError(f"there is no test {unknown[0]!r}; known: {', '.join((*TESTS, auto))}.")
    if options.surrogate is not None and options.tests:
        raise SpecError("--test reads the model's own features, which no --surrogate has: give one of both.")
    return tuple(test for test in TESTS if test in options.tests)


def gradient_free_attack(options: RunSettings) -> tuple[str, Attack]:
    """The attack of the gradient-free rung, and its name.

    Raises:
        SpecError: none that there is.
    """
    full = full_attack(options.gradient_free, {})
    return str(full.spec), registry.build(full.factory, full.spec, "attack")


def label_only_attack(options: RunSettings, threat: Threat) -> Named:
    """The attack of the label-only rung, by its name.

    Raises:
        SpecError: none that there is, or one that asks for more than labels.
    """
    full = full_attack(options.label_only or LABEL_ONLY, {})
    entry = ATTACKS.get(full.spec.name)
    if entry is not None and entry.needs != "labels":
        asks = entry.needs if entry.needs.startswith("as ") else f"for {entry.needs}"
        raise SpecError(
            f"the label-only rung takes an attack that asks for labels alone; {full.spec.name} asks {asks}. "
            f"Give --label-only {LABEL_ONLY}."
        )
    attack = registry.build(full.factory, full.spec, "attack")
    return Named({str(full.spec): attack}, {str(full.spec): _settings_of(attack, threat, {})})


def _gradient_free(options: RunSettings, threat: Threat, own: Mapping[str, Attack]) -> Named:
    name, attack = next(iter(own.items())) if own else gradient_free_attack(options)
    return Named({name: attack}, {name: _settings_of(attack, threat, own)})


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
    return [word.strip() for word in text.split(",") if word.strip()]
