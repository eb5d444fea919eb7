"""The JSON schema of a sweep's file, made of the settings that there are."""

from collections.abc import Mapping
from typing import Any, Final, assert_never

from advbench.jobs.settings.in_files import file_settings
from advbench.jobs.settings.option import Setting
from advbench.jobs.sweep.file import AXES, CURVE, DEFAULTS, LISTED, MODELS, NAME, OWN

_SETTING: Final = "setting:"
_TEXT: Final = {"type": "string", "minLength": 1}


def schema() -> dict[str, Any]:
    """A schema in draft 7, which editors of TOML understand."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "advbench sweep",
        "description": "A grid of models, threats, defenses and attacks over shared defaults.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            DEFAULTS: {
                "description": "Settings of every cell, where no entry says otherwise.",
                "type": "object",
                "additionalProperties": False,
                "properties": _properties(""),
            },
            CURVE: {
                "description": "Whether what falls at a radius has fallen at every larger one too.",
                "type": "boolean",
            },
            **{axis: {"$ref": f"#/definitions/{axis}"} for axis in AXES},
        },
        "definitions": {
            **{axis: _axis(axis) for axis in AXES},
            **{f"{_SETTING}{key}": _type_of(setting) for key, setting in file_settings().items()},
        },
    }


def _axis(axis: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": _properties(axis),
    }
    if axis in LISTED:
        entry["required"] = [LISTED[axis]]
    if axis == MODELS:
        entry["properties"] = {
            NAME: {**_TEXT, "description": "What the table is to call it."},
            **entry["properties"],
            **{own: {"$ref": f"#/definitions/{own}"} for own in OWN},
        }
    return {"type": "array", "minItems": 1, "items": {"anyOf": [_TEXT, entry]}}


def _properties(axis: str) -> Mapping[str, Any]:
    properties = {}
    for key, setting in file_settings().items():
        if key == LISTED.get(axis):
            properties[key] = {**_TEXT, "description": setting.option.help}
        elif key not in LISTED.values():
            properties[key] = {"$ref": f"#/definitions/{_SETTING}{key}"}
    return properties


def _type_of(setting: Setting) -> dict[str, Any]:
    return {"description": setting.option.help, **_values_of(setting)}


def _values_of(setting: Setting) -> dict[str, Any]:
    match setting.kind:
        case "flag":
            return {"type": "boolean"}
        case "number":
            return {
                "type": "integer",
                **({} if setting.option.least is None else {"minimum": setting.option.least}),
            }
        case "choice":
            return {"enum": list(setting.choices)}
        case "text":
            numbers = {"type": "array", "minItems": 1, "items": {"type": "number"}}
            return {"anyOf": [{"type": ["string", "number"]}, numbers]}
        case "texts":
            return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
        case _:
            assert_never(setting.kind)
