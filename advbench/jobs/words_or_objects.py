"""Words or objects: what a caller in Python gives, with the names that the table gives it."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from torch import nn

from advbench.data.images import LabelledImages
from advbench.defended.backward import BPDA, name_of
from advbench.defended.detector import Detector
from advbench.defended.estimators import is_estimator
from advbench.defended.head import Head
from advbench.defended.model import Placement
from advbench.defended.own_functions import adapted
from advbench.defended.surrogate import Function, Surrogate
from advbench.defenses import DEFENSES
from advbench.errors import InputError, ModelError, SpecError
from advbench.evaluation.plan import Links
from advbench.jobs.build_chain import make_chain
from advbench.jobs.own_images import images_of
from advbench.jobs.state_digest import is_told_by_settings
from advbench.names import registry
from advbench.names.grammar import INPUT, LOGITS, Spec, as_detector, as_head, parse_chain, parse_spec
from advbench.names.registry import Entry, Kind
from advbench.results.records import UNDEFENDED


def model_of(given: Any) -> tuple[str, nn.Module | None]:
    """A model's word; or a module with its name, which is its class's or the key of `{name: module}`.

    Raises:
        ModelError: neither.
    """
    name, model = _single(given, "model")
    if isinstance(model, str):
        if name:
            raise ModelError(f"{{{name!r}: ...}} names a module; of a word, give the word alone.")
        return model, None
    if not isinstance(model, nn.Module):
        hint = " Call it to make one." if callable(model) else ""
        raise ModelError(f"model must be a name or a torch.nn.Module, got {model!r:.60}.{hint}")
    return usable_name(name or type(model).__name__, "model"), model


def box_of(given: Any) -> tuple[str, nn.Module | None]:
    """A black box's word; or a function or an estimator in a module that holds it, with its name.

    Raises:
        ModelError: neither.
    """
    name, thing = _single(given, "model")
    if isinstance(thing, str):
        return model_of(given)
    if inspect.isclass(thing) or not (callable(thing) or is_estimator(thing)):
        hint = " Call it to make one." if inspect.isclass(thing) else ""
        raise ModelError(f"a black box must be a word, a function or an estimator, got {thing!r:.60}.{hint}")
    return usable_name(name or name_of(thing), "model"), Function(thing)


def stand_in_of(given: Any, what: str) -> Surrogate:
    """A surrogate or a source that a caller gives as an object, with its class's or its function's name.

    Args:
        given: a module, a function from pixels to logits, or `{name: such}`.
        what: what it is called in messages.

    Raises:
        ModelError: neither.
    """
    name, thing = _single(given, what)
    if inspect.isclass(thing) or not callable(thing):
        hint = " Call it to make one." if inspect.isclass(thing) else ""
        raise ModelError(f"{what} must be a word, a torch.nn.Module or a function, got {thing!r:.60}.{hint}")
    network = thing if isinstance(thing, nn.Module) else Function(thing)
    return Surrogate(usable_name(name or name_of(thing), what), network)


def data_of(given: Any) -> tuple[str, LabelledImages | None]:
    """A data set's word; or images with their name: their class's, `data`, or the key of `{name: images}`.

    Raises:
        DatasetError: nothing of the kind.
    """
    name, data = _single(given, "data")
    if isinstance(data, str):
        if name:
            raise InputError(f"{{{name!r}: ...}} names images of your own; of a word, give the word alone.")
        return data, None
    usual = "data" if isinstance(data, tuple | list | LabelledImages) else type(data).__name__
    return usable_name(name or usual, "data"), images_of(data)


def defenses_of(given: Any) -> tuple[tuple[str, ...], dict[str, Links]]:
    """The names of the defenses in their order, and those of them that are objects.

    Args:
        given: a word, a `Placement`, a function on batches, a tuple of these for a chain that acts in its
            order; a list of such, a row each; or `{name: such}`.

    Raises:
        InputError: something that is no defense, or a name that is given twice.
    """
    names: list[str] = []
    made: dict[str, Links] = {}
    pairs = given.items() if isinstance(given, Mapping) else [("", one) for one in _listed(given)]
    for name, one in pairs:
        if isinstance(one, str) and not name:
            names.append(one)
            continue
        links = _links(one)
        label = usable_name(name or "+".join(map(_written_link, links)), "defense")
        if label in names:
            raise SpecError(f"defense {label!r} is given twice; give {{name: defense}} to tell them apart.")
        names.append(label)
        made[label] = links
    return tuple(names), made


def guarded(
    names: Sequence[str], made: Mapping[str, Links], detector: Any
) -> tuple[tuple[str, ...], dict[str, Links]]:
    """Every defense with a detector behind it, which is a row of its own where there is none.

    Args:
        names: of the defenses, in their order.
        made: those of them that are objects.
        detector: a function from images to scores, a `Detector`, a `Placement` of one, or `{name: detector}`.

    Raises:
        InputError: nothing that can be a detector.
    """
    given, one = _single(detector, "detector")
    link = one if isinstance(one, Placement) else Placement(one)
    if link.detector is None:
        if inspect.isclass(one) or not callable(one):
            hint = " Call it to make one." if inspect.isclass(one) else ""
            raise InputError(f"detector must be a word or a function to scores, got {one!r:.60}.{hint}")
        link = replace(link, defense=Detector(link.defense))
    return _joined(names, made, usable_name(given, "detector") if given else _written_link(link), link)


def headed(
    names: Sequence[str], made: Mapping[str, Links], head: Any
) -> tuple[tuple[str, ...], dict[str, Links]]:
    """Every defense with a head behind it, which is a row of its own where there is none.

    Args:
        names: of the defenses, in their order.
        made: those of them that are objects.
        head: a function on features or a fitted estimator, for the logits; a `Head`, a `Placement` of one of
            these, or `{name: head}`.

    Raises:
        InputError: nothing that can be a head.
    """
    given, one = _single(head, "head")
    link = one if isinstance(one, Placement) else Placement(one, LOGITS)
    if not isinstance(link.defense, Head):
        if inspect.isclass(link.defense):
            raise InputError(f"head must be a word, a function or an estimator, got {one!r:.60}. Call it.")
        link = replace(link, defense=Head(link.defense))
    return _joined(names, made, usable_name(given, "head") if given else _written_link(link), link)


def _joined(
    names: Sequence[str], made: Mapping[str, Links], name: str, link: Placement
) -> tuple[tuple[str, ...], dict[str, Links]]:
    """Every defense with an element behind it, which is a row of its own where there is none."""
    rows: dict[str, Links] = {}
    for own in names:
        if own.strip() != UNDEFENDED:
            rows[f"{own.strip()}+{name}"] = (*(made[own] if own in made else make_chain(own)), link)
    rows = rows or {name: (link,)}
    return tuple(rows), rows


def is_worded(name: str, links: Links) -> bool:
    """Whether a defense's name, read as words, makes the same defense."""
    try:
        return make_chain(name) == links
    except InputError:
        return False


def written(thing: object, table: Mapping[str, Entry], kind: Kind) -> str:
    """The words that make an object, `bit-depth:bits=3`; its class's or its function's name without any."""
    home = f"{type(thing).__module__}:{type(thing).__qualname__}"
    for name, entry in table.items():
        if entry.factory != home or not is_told_by_settings(thing):
            continue
        given: dict[str, Any] = {field.name: getattr(thing, field.name) for field in fields(thing)}  # type: ignore[arg-type]  # a dataclass
        usual = {field.name: field.default for field in fields(thing)}  # type: ignore[arg-type]
        spec = Spec(name, {key: str(value) for key, value in given.items() if value != usual[key]})
        try:
            if registry.build(type(thing), parse_spec(str(spec)), kind) == thing:
                return str(spec)
        except InputError:
            continue
    return name_of(thing)  # type: ignore[arg-type]  # anything has a class


def _links(given: Any) -> Links:
    """The elements of a defense, in their places."""
    elements = given if isinstance(given, tuple | list) else (given,)
    links: list[Placement] = []
    for element in elements:
        if isinstance(element, str):
            links += make_chain(element)
            continue
        link = element if isinstance(element, Placement) else Placement(element)
        defense: Any = link.defense
        if inspect.isclass(defense) or not callable(defense):
            hint = " Call it to make one." if inspect.isclass(defense) else ""
            raise InputError(
                "a defense must be a word, a function on batches, a Placement, or a tuple of them, got "
                f"{defense!r:.60}.{hint}"
            )
        known = isinstance(defense, BPDA | Head) or link.detector is not None
        links.append(link if known else replace(link, defense=adapted(defense)))
    if not links:
        raise InputError("a defense must have an element; the undefended model is always there.")
    return tuple(links)


def _written_link(link: Placement) -> str:
    place = "" if link.at == INPUT else f"@{link.at}"
    if link.detector is not None:
        return as_detector(name_of(link.detector) + place)
    if isinstance(link.defense, Head):
        return as_head(name_of(link.defense) + f"@{link.at}")
    return written(link.defense, DEFENSES, "defense") + place


def _single(given: Any, what: str) -> tuple[str, Any]:
    """The name and the object of `{name: object}`; no name for anything else."""
    if not isinstance(given, Mapping):
        return "", given
    if len(given) != 1:
        raise InputError(f"{what} must be one, or {{name: {what}}}, got {len(given)} of them.")
    return next(iter(given.items()))


def _listed(given: Any) -> list[Any]:
    """The rows: a tuple of words is a list of them, and a tuple with an object in it a chain."""
    if isinstance(given, list) or (isinstance(given, tuple) and all(isinstance(one, str) for one in given)):
        return list(given)
    return [given]


def usable_name(name: Any, kind: str) -> str:
    """A name that tables and files can hold, and that a command line could say.

    Raises:
        InputError: none.
    """
    usable = isinstance(name, str) and bool(name.strip()) and name.isprintable() and name != UNDEFENDED
    try:
        if usable:
            parse_chain(name)
    except SpecError:
        usable = False
    if not usable:
        raise InputError(f"a {kind} cannot be called {name!r}; choose another name.")
    return str(name.strip())
