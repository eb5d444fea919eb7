"""The reference of everything that can be named: defenses, attacks, models, data sets and substitutes."""

import inspect
from collections.abc import Mapping
from typing import Any, get_args

from advbench.attacks import ATTACKS
from advbench.cli.listing import short
from advbench.data.registry import DATASETS
from advbench.defended.substitutes import GENERAL
from advbench.defenses import DEFENSES
from advbench.models.registry import MODELS, torchvision_models
from advbench.names.registry import ANY_NAME, Entry, Parameter, parameters
from docs.made.docstrings import Docstring, docstring_of
from docs.made.markdown import code, escaped, prose, table


def defenses() -> str:
    """A section for every defense."""
    return "\n".join(_section(name, entry, _of_defense(entry)) for name, entry in DEFENSES.items())


def attacks() -> str:
    """A section for every attack."""
    return "\n".join(_section(name, entry, _of_attack(entry)) for name, entry in ATTACKS.items())


def models() -> str:
    """A table of the models that have a name of their own, and the names of torchvision's."""
    lines = [[code(name), escaped(entry.summary), escaped(entry.source)] for name, entry in MODELS.items()]
    others = ", ".join(map(code, torchvision_models()))
    own = table(["name", "what", "source"], lines)
    return f"{own}\nThe classifiers of `torchvision.models` have their own names: {others}.\n"


def datasets() -> str:
    """A table of the data sets, with the radius and the normalisation that are usual for each of them."""
    lines = [
        [
            code(name),
            escaped(entry.summary),
            escaped(entry.source),
            *map(code, (entry.eps, entry.eps_l2, entry.eps_l1)),
            escaped(entry.expects),
        ]
        for name, entry in DATASETS.items()
    ]
    return table(["name", "what", "source", "L-inf", "L2", "L1", "`--data-root` holds"], lines)


def substitutes() -> str:
    """A table of the defenses with their substitutes, the best known first."""
    lines = [
        [code(name), ", ".join(map(code, _substitutes(entry))), "yes" if _is_random(entry) else ""]
        for name, entry in DEFENSES.items()
    ]
    general = ", ".join(map(code, GENERAL))
    listed = table(["defense", "substitutes, the best known first", "random"], lines)
    return f"General substitutes, which every defense of a suitable shape can have: {general}.\n\n{listed}"


def _section(name: str, entry: Entry, facts: Mapping[str, str]) -> str:
    lines = [f"- **{title}**: {fact}" for title, fact in facts.items() if fact]
    if name.endswith(ANY_NAME):  # a library is not imported for the sake of its page
        described, arguments = Docstring(head="", sections={}), ""
    else:
        described = docstring_of(entry.load())
        arguments = _parameters(entry, described)
    parts = [f"## `{name}`", f"{escaped(entry.summary[:1].upper() + entry.summary[1:])}.", "\n".join(lines)]
    return "\n\n".join(part for part in (*parts, described.head, arguments) if part) + "\n"


def _of_defense(entry: Entry) -> dict[str, str]:
    listed = ", ".join(map(code, _substitutes(entry)))
    return {
        "Paper": escaped(entry.source),
        "Substitutes": listed,
        "Random": "yes; it is attacked in expectation over `--eot` draws" if _is_random(entry) else "",
        "In Python": _class_of(entry),
    }


def _of_attack(entry: Entry) -> dict[str, str]:
    return {
        "Paper": escaped(entry.source),
        "Needs": escaped(entry.needs),
        "Costs": escaped(entry.cost),
        "In Python": _class_of(entry),
    }


def _class_of(entry: Entry) -> str:
    module, _, attribute = entry.factory.partition(":")
    return code(f"{module.rpartition('.')[0]}.{attribute}") if "_attack" not in attribute else ""


def _substitutes(entry: Entry) -> tuple[str, ...]:
    """What a defense lists; of one whose list depends on its parameters, what it lists with the defaults."""
    factory = entry.load()
    listed = getattr(factory, "substitutes", ())
    return tuple(factory().substitutes if isinstance(listed, property) else listed)


def _is_random(entry: Entry) -> bool:
    return bool(getattr(entry.load(), "random", False))


def _parameters(entry: Entry, described: Docstring) -> str:
    """A table of the parameters as the command line takes them."""
    meanings = described.sections.get("Args", {})
    lines = [
        [code(name), _default(parameter), prose(_meaning(name, parameter, meanings))]
        for name, parameter in parameters(entry.load()).items()
    ]
    return table(["parameter", "default", "meaning"], lines) if lines else ""


def _default(parameter: Parameter) -> str:
    if parameter.default in (None, "", inspect.Parameter.empty):
        return ""
    return code(short(parameter.default) if isinstance(parameter.default, float) else str(parameter.default))


def _meaning(name: str, parameter: Parameter, meanings: Mapping[str, str]) -> str:
    """What the docstring says of a parameter; of one that it does not tell, the choices."""
    choices: tuple[Any, ...] = get_args(parameter.annotation)
    words = [f"`{choice}`" for choice in choices if isinstance(choice, str)]
    meaning = meanings.get(name, "")
    missing = [word for word in words if word not in meaning]
    return f"{meaning} One of {', '.join(words)}.".strip() if missing else meaning
