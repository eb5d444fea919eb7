"""What is attacked: from the words for model, data, threat and defenses to the objects behind them.

Nothing here knows an attack, so that examples can be judged again without any.
"""

import copy
import dataclasses
import inspect
import itertools
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from advbench.data.class_names import ClassNames, read_class_index, read_class_names
from advbench.data.images import LabelledImages
from advbench.data.load import find_dataset, load_dataset
from advbench.data.registry import DATASETS, DatasetEntry
from advbench.data.sampling import balanced_order, balanced_sample
from advbench.data.sources import Place
from advbench.defended.detector import Detector
from advbench.defended.every_place import at_every_place
from advbench.defended.head import Head
from advbench.defended.model import DefendedModel, Placement
from advbench.defended.output_kinds import HANDED_ON, PROBABILITIES, hand_on_probabilities, words_of
from advbench.defended.own_functions import Plugin
from advbench.defended.random_model import draws_inside
from advbench.defended.substitutes import listed
from advbench.errors import InputError, SpecError, first_line
from advbench.evaluation.plan import defense_chains
from advbench.jobs.build_chain import asked_for, make_chain, with_heads
from advbench.jobs.channels import channels_of
from advbench.jobs.classifier import Classifier, load_classifier
from advbench.jobs.library_model import place_for
from advbench.jobs.measure_statistics import Source, measured
from advbench.jobs.objects import NO_OBJECTS, Objects
from advbench.jobs.order_check import reject_class_suspected
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.subject import SubjectOptions
from advbench.jobs.state_digest import is_told_by_settings, state_digest
from advbench.names.adaptation import adapts
from advbench.names.grammar import LOGITS
from advbench.results.records import UNDEFENDED
from advbench.runs.manifest import LATER
from advbench.speed.batch_size import AUTO
from advbench.threat.threat import Threat

DEFAULT_MODEL = "digits-cnn"
DEFAULT_DATASET = "digits"

REJECT_CLASS: Final = "reject-class"
"""The detector that is a class of the model itself; beside it, the one that is logits of NaN."""
REJECT_NAN: Final = "reject-nan"


class Named(NamedTuple):
    """The attacks or the defenses by the names that the table gives them."""

    objects: dict[str, Any]
    settings: dict[str, Any]


class Subject(NamedTuple):
    """What is attacked, and within which bounds."""

    classifier: Classifier
    dataset: str
    images: LabelledImages
    indices: list[int]
    threat: Threat
    defenses: Named
    device: torch.device

    @property
    def draws(self) -> bool:
        """Whether the model or a defense draws random numbers."""
        chains = self.defenses.objects.values()
        return draws_inside(self.classifier.model) or any(
            link.is_random for chain in chains for link in chain
        )


def load_subject(
    options: SubjectOptions, ranks: Ranks, at_once: int | str = AUTO, objects: Objects = NO_OBJECTS
) -> Subject:
    """Find, load and check everything that the words name, the cheapest first.

    Args:
        options: the words.
        ranks: the processes that share the run.
        at_once: how many images at a time the user asks for; a network may take no other number.
        objects: what is given as objects, under the names that the words have.

    Raises:
        InputError: whatever is wrong, in one line.
    """
    model, dataset = names_of(options)
    entry = objects.entry or find_dataset(dataset)
    threat = make_threat(options, entry)
    device = choose_device(_device_word(options.device, objects.model), ranks)
    images, indices = open_images(options, dataset, objects.images)
    with reject_class_suspected(options.reject_class):
        classifier, images = load_classifier(
            options,
            model,
            entry,
            images,
            device,
            indices=indices,
            ranks=ranks,
            at_once=at_once,
            own=objects.model,
        )
    defenses = make_defenses(options, classifier.model, objects.defenses, classes=len(images.classes))
    place = replace(place_of(options), channels=options.channels or channels_of(images))
    source = Source(dataset, place, objects.images, images, indices, options.seed)
    defenses, shown = _with_statistics(defenses, source, classifier)
    classifier = _read_for(defenses, classifier._replace(looks=classifier.looks + shown))
    return Subject(classifier, dataset, images, indices, threat, defenses, device)


def _read_for(defenses: Named, classifier: Classifier) -> Classifier:
    """The classifier, which hands defenses behind it the probabilities themselves that it returns."""
    chains = defense_chains(defenses.objects).values()
    if not any(link.at == LOGITS for chain in chains for link in chain):
        return classifier
    if not hand_on_probabilities(classifier.model):
        return classifier
    notes = tuple(HANDED_ON if note == words_of(PROBABILITIES) else note for note in classifier.notes)
    return classifier._replace(notes=notes)


def _with_statistics(defenses: Named, source: Source, classifier: Classifier) -> tuple[Named, int]:
    """The defenses with the statistics that they need, and how many images these took."""
    measurement = measured(defenses.objects, source, classifier.model, takes=classifier.takes)
    settings = {
        name: [
            link if account is None else {**link, "statistics": account}
            for link, account in zip(links, measurement.settings[name], strict=True)
        ]
        for name, links in defenses.settings.items()
    }
    return Named(dict(measurement.chains), settings), measurement.shown


def _device_word(word: str, own: nn.Module | None) -> str:
    """The device that was asked for; a module of the caller's stays where it is."""
    if own is None or word != "auto":
        return word
    tensors = itertools.chain(own.parameters(), own.buffers())
    return next((str(tensor.device) for tensor in tensors), "cpu")


def choose_device(name: str, ranks: Ranks) -> torch.device:
    """The device that was asked for, or the fastest that is there; each process of a host takes its own GPU.

    Raises:
        InputError: unknown, or not on this machine.
    """
    if name == "auto":
        fastest = torch.accelerator.current_accelerator(check_available=True)
        name = fastest.type if fastest is not None and fastest.type in ("cuda", "mps") else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda":
            # A GPU's TF32 would make results depend on the machine by a thousandth.
            torch.backends.cudnn.allow_tf32 = False
            if ":" not in name:
                device = torch.device("cuda", ranks.local_rank % max(1, torch.cuda.device_count()))
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # NotImplementedError included
        reason = first_line(error)
        raise InputError(f"--device {name} cannot be used: {reason} Use auto, cpu, cuda or mps.") from error
    return device


def names_of(options: SubjectOptions) -> tuple[str | None, str]:
    """The model (None for a program that names itself) and the data set, defaults filled in.

    Raises:
        InputError: a model of the user's without a data set.
    """
    embedded = options.model is None and options.checkpoint is None
    model = DEFAULT_MODEL if embedded else options.model
    if options.dataset is None and not (embedded or model == DEFAULT_MODEL):
        raise InputError(f"name the data set of your model: --dataset {', '.join(DATASETS)}.")
    return model, options.dataset or DEFAULT_DATASET


def place_of(options: SubjectOptions) -> Place:
    """Where the images are looked for."""
    return Place(
        root=options.data_root,
        split=options.split,
        download=options.download,
        image_size=options.image_size,
        channels=options.channels,
        image_column=options.image_column,
        label_column=options.label_column,
        names=names_of_classes(options),
    )


def names_of_classes(options: SubjectOptions) -> ClassNames | None:
    """Which output each class stands for, where the words say it.

    Raises:
        InputError: said in two ways, or a file that cannot be read.
    """
    if options.classes is not None and options.class_index is not None:
        raise InputError("give --classes or --class-index, not both.")
    if options.class_names is not None:
        return ClassNames(*options.class_names)
    if options.classes is not None:
        return read_class_names(options.classes)
    return None if options.class_index is None else read_class_index(options.class_index)


def check_selection(options: SubjectOptions) -> None:
    """See whether the images are chosen in one way.

    Raises:
        InputError: they are not.
    """
    if options.limit is not None and options.first is not None:
        raise InputError("give --limit or --first, not both.")


def open_images(
    options: SubjectOptions, dataset: str, own: LabelledImages | None = None
) -> tuple[LabelledImages, list[int]]:
    """The data set, or the caller's own images, and the indices of the images that are evaluated."""
    check_selection(options)
    images = load_dataset(dataset, place_for(options, dataset, place_of(options))) if own is None else own
    if options.limit is not None and adapts(options.defenses):  # whose batches hold all classes then
        return images, balanced_order(images.labels, options.seed)[: options.limit]
    if options.limit is not None:
        return images, balanced_sample(images.labels, options.limit, options.seed)
    return images, list(range(min(len(images), options.first or len(images))))


def make_threat(options: SubjectOptions, dataset: DatasetEntry) -> Threat:
    """The ball that was asked for, or the one that most papers use on the data set."""
    usual = {"linf": dataset.eps, "l2": dataset.eps_l2, "l1": dataset.eps_l1}[options.norm]
    return Threat.parse(options.norm, usual if options.eps is None else options.eps)


def make_defenses(
    options: SubjectOptions,
    model: nn.Module,
    own: Mapping[str, tuple[Placement, ...]] = MappingProxyType({}),
    *,
    classes: int = 0,
) -> Named:
    """The defenses in their places; every place is looked up in the model now, not in the middle of a run.

    Args:
        options: the words.
        model: the classifier.
        own: what is given as objects.
        classes: of the data set, for heads that give labels; 0 where it names none.
    """
    made: dict[str, tuple[Placement, ...]] = {}
    settings = {}
    for text in options.defenses:
        name = text.strip()
        if name == UNDEFENDED:  # it is always there
            continue
        chain = at_every_place(own[name] if name in own else make_chain(text), model)
        chain = asked_for(chain, options.fpr)
        DefendedModel(model, chain)
        add_named(made, name, chain, "defense")
        settings[name] = [_settings_of(link, is_object=name in own) for link in chain]
        made[name] = with_heads(chain, model, classes)
    if options.fpr is not None and not any(link.detector for chain in made.values() for link in chain):
        raise SpecError(
            "--fpr says how many clean images a detector may refuse, and there is none: --detector."
        )
    return Named(dict(made), settings)


def _settings_of(link: Placement, *, is_object: bool) -> dict[str, Any]:
    """A defense in its place, for `run.json`."""
    description = describe_own(link.defense, link.substitute) if is_object else describe(link.defense)
    return {"at": link.at, **description, "substitutes": list(listed(link.defense))}


def add_named(table: dict[str, Any], name: str, made: object, kind: str) -> None:
    """Put something that was made under its name.

    Raises:
        SpecError: the name is taken.
    """
    if name in table:
        raise SpecError(f"{kind} {name!r} is given twice.")
    table[name] = made


def describe(thing: object, threat: Threat | None = None) -> dict[str, Any]:
    """What was made and every setting that it has, for `run.json`; a step size as it is taken."""
    if isinstance(thing, Plugin | Detector | Head):
        return thing.settings
    settings: dict[str, Any] = _plain(thing) if dataclasses.is_dataclass(thing) else {}
    if threat is not None and hasattr(thing, "step_size_for"):
        settings["step_size"] = thing.step_size_for(threat)
    return {"class": f"{type(thing).__module__}.{type(thing).__qualname__}", **settings}


def describe_own(thing: object, beside: object = None, threat: Threat | None = None) -> dict[str, Any]:
    """An object of the caller's as `describe` tells it, with a digest of what its settings do not tell.

    Args:
        thing: an attack or a defense.
        beside: what belongs to it and is no setting of its own.
        threat: as for `describe`.
    """
    settings = describe(thing, threat)
    if inspect.isroutine(thing):
        settings["class"] = f"{thing.__module__}.{thing.__qualname__}"
    if not (is_told_by_settings(thing) and beside is None):
        settings["state"] = state_digest((thing, beside))
    return settings


def _plain(value: Any) -> Any:
    """As `dataclasses.asdict`, without fields that came later and have their defaults (`LATER`)."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, torch.Tensor) or (callable(value) and not dataclasses.is_dataclass(value)):
        kind = value if inspect.isroutine(value) else type(value)  # its state has a digest of its own
        return f"{kind.__module__}.{kind.__qualname__}"
    if not dataclasses.is_dataclass(value):
        return copy.deepcopy(value)
    values = {field: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {
        field.name: _plain(item)
        for field, item in values.items()
        if not (LATER in field.metadata and item == field.default)
    }
