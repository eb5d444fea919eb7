"""The JSON schema of a sweep's file accepts what can be said there, and refuses faults of shape."""

import json
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from advbench import cli
from advbench.jobs.sweep.schema import schema
from tests.jobs.sweep.files import FAULTS, ROOT, SWEEPS, VALUES


def accepts(rule: Mapping[str, Any], value: Any) -> bool:
    """What the JSON schema of a sweep says about a value: the few words of the standard that it uses."""
    if "$ref" in rule:
        found: Any = schema()
        for key in rule["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        return accepts(found, value)
    kinds: dict[str, Callable[[Any], bool]] = {
        "string": lambda each: isinstance(each, str),
        "boolean": lambda each: isinstance(each, bool),
        "integer": lambda each: isinstance(each, int) and not isinstance(each, bool),
        "number": lambda each: isinstance(each, int | float) and not isinstance(each, bool),
        "array": lambda each: isinstance(each, list),
        "object": lambda each: isinstance(each, dict),
    }
    allowed = rule.get("type", [])
    allowed = [allowed] if isinstance(allowed, str) else allowed
    inner = rule.get("properties", {})
    return all(
        [
            not allowed or any(kinds[each](value) for each in allowed),
            "anyOf" not in rule or any(accepts(each, value) for each in rule["anyOf"]),
            "enum" not in rule or value in rule["enum"],
            "minimum" not in rule or (isinstance(value, int) and value >= rule["minimum"]),
            not isinstance(value, str | list) or len(value) >= rule.get("minLength", rule.get("minItems", 0)),
            not isinstance(value, list) or all(accepts(rule.get("items", {}), each) for each in value),
            not isinstance(value, dict)
            or (
                all(accepts(inner.get(key, {}), each) for key, each in value.items())
                and (rule.get("additionalProperties", True) or value.keys() <= inner.keys())
                and value.keys() >= set(rule.get("required", []))
            ),
        ]
    )


def agrees(text: str) -> bool:
    """Whether the schema accepts a file; where jsonschema is installed, it must think so too."""
    found = accepts(schema(), tomllib.loads(text))
    try:
        import jsonschema  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: PLC0415
    except ModuleNotFoundError:
        return found
    jsonschema.Draft7Validator.check_schema(schema())
    assert jsonschema.Draft7Validator(schema()).is_valid(tomllib.loads(text)) == found
    return found


def test_the_published_schema_is_that_of_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", "--schema"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == schema()
    kept = (ROOT / "sweeps/schema.json").read_text()
    assert kept == printed, "make it anew: advbench sweep --schema > sweeps/schema.json"


def test_the_schema_accepts_every_setting_and_the_sweeps_of_the_repository() -> None:
    for path in SWEEPS:
        assert agrees(path.read_text()), path
    for key, value in VALUES.items():
        if key not in ("defense", "attack"):
            assert agrees(f"[defaults]\n{key} = {json.dumps(value)}"), key
    assert agrees('models = ["a", { name = "b", defenses = ["round"], threats = [{ norm = "l2" }] }]')
    assert agrees('defenses = ["none", { defense = "round", eot = 3 }]')


OF_SHAPE = ("must be", "must say", "no setting", "a sweep has", "list of its own")
OF_VALUE = ("eps must", "pgd: steps", "--batch-size", "l3 0.1")


@pytest.mark.parametrize(
    "text",
    [
        text
        for text, _, message in FAULTS
        if any(word in message for word in OF_SHAPE)
        and not any(word in message or word in text for word in OF_VALUE)
    ],
)
def test_the_schema_refuses_faults_of_shape(text: str) -> None:
    assert not agrees(text)
