"""What the keywords of a call tell: settings, and the objects behind some of their words."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from advbench.defended.surrogate import Surrogate
from advbench.errors import InputError
from advbench.jobs.build_attacks import attacks_of
from advbench.jobs.objects import Objects
from advbench.jobs.settings.keywords import plain_value, said_in_keywords, settings_from_keywords
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.words_or_objects import (
    box_of,
    data_of,
    defenses_of,
    guarded,
    headed,
    is_worded,
    model_of,
    stand_in_of,
)

_OF_NAMED_DATA: Final = (
    "data_root",
    "split",
    "download",
    "image_size",
    "channels",
    "image_column",
    "label_column",
    "classes",
    "class_index",
)
_OF_A_NAMED_MODEL: Final = ("checkpoint", "weights", "trust_program")


def read_keywords(function: str, given: Mapping[str, Any]) -> tuple[RunSettings, Objects]:
    """The settings that a call tells, and the objects that stand behind some of their words.

    Args:
        function: what is called, for messages and for the run's record.
        given: its keywords; None for what is not said.

    Raises:
        KeywordError: a keyword that there is not.
        InputError: a value that cannot be used.
    """
    words: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "data" in words and "dataset" in words:
        raise InputError("data and dataset mean the same; give one of them.")
    own: dict[str, Any] = {}
    if "model" in words:
        asks = bool(words.get("black_box")) or "black_box_form" in words
        words["model"], own["model"] = (box_of if asks else model_of)(words["model"])
        _refuse_beside(own["model"], "a model that is an object", _OF_A_NAMED_MODEL, words)
    if "data" in words or "dataset" in words:
        words["dataset"], own["images"] = data_of(words.pop("data", words.get("dataset")))
        _refuse_beside(own["images"], "data that are objects", _OF_NAMED_DATA, words)
    words["defenses"], own["defenses"] = defenses_of(words.get("defenses", ()))
    if not isinstance(words.get("head", ""), str):
        words["defenses"], own["defenses"] = headed(words["defenses"], own["defenses"], words.pop("head"))
    if not isinstance(words.get("detector", ""), str):
        words["defenses"], own["defenses"] = guarded(
            words["defenses"], own["defenses"], words.pop("detector")
        )
    words["attacks"], own["attacks"] = attacks_of(words.get("attacks", ()))
    if "gradient_free" in words:
        (words["gradient_free"],), own["gradient_free"] = attacks_of(words["gradient_free"], "gradient_free")
    own |= _stand_ins(words)
    for name in ("eps", "step_size"):
        if name in words:
            words[name] = _written_number(plain_value(words[name]))
    nameless = [name for name, key in (("model", "model"), ("data", "images")) if own.get(key) is not None]
    nameless += [name for name in ("surrogate", "source") if name in own]
    nameless += [f"defense {name}" for name, links in own["defenses"].items() if not is_worded(name, links)]
    with said_in_keywords(RunSettings):
        settings = settings_from_keywords(RunSettings, "attack", words, function)
    if nameless:  # no command does the same
        settings = replace(settings, command=(_call(function, words),))
    return settings, Objects(**own, nameless=tuple(nameless))


def _stand_ins(words: dict[str, Any]) -> dict[str, Surrogate]:
    """What stands in for the model and is given as an object; its name goes into the words."""
    given: dict[str, Surrogate] = {
        name: stand_in_of(words[name], name)
        for name in ("surrogate", "source")
        if name in words and not isinstance(words[name], str)
    }
    words.update({name: stand_in.name for name, stand_in in given.items()})
    return given


def _call(function: str, words: Mapping[str, Any]) -> str:
    """The call in a line, with the names of its objects."""
    arguments = {
        name: "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list | tuple) else value
        for name, value in ((name, plain_value(value)) for name, value in words.items())
        if value not in ((), [])
    }
    return f"advbench.{function}({', '.join(f'{name}={value}' for name, value in arguments.items())})"


def _refuse_beside(own: object, what: str, keywords: tuple[str, ...], words: Mapping[str, Any]) -> None:
    """Refuse keywords that would say nothing.

    Raises:
        InputError: one of them.
    """
    given = [name for name in keywords if own is not None and name in words]
    if given:
        raise InputError(f"{given[0]} says nothing of {what}.")


def _written_number(value: Any) -> Any:
    """A radius as people write it: 8/255 and not 0.03137254901960784; of a list each."""
    if isinstance(value, list | tuple):
        return [str(_written_number(item)) for item in value]
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    whole = round(value * 255)
    return f"{whole}/255" if whole / 255 == value and len(repr(value)) > len(f"{whole}/255") else repr(value)
