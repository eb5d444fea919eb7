"""What `run.json` says, and what of it a run's results depend on."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from advbench.errors import RunFolderError

MANIFEST = "run.json"

LATER: Final = "later"
"""Marks fields of attacks and defenses that came later: their default is what was done before, and is no part
of what describes them, so that runs which were begun before go on."""

_LARGEST = 16 << 20  # bytes; those that were written have a few thousand


def read_manifest(path: Path) -> dict[str, Any]:
    """The `run.json` of a run's folder; nothing is promised of its contents but that it is a dictionary.

    Raises:
        RunFolderError: missing, unreadable or damaged.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise RunFolderError(f"{path} is not a run's folder: there is no {MANIFEST} in it.")
    try:
        with file.open("rb") as stream:
            contents = stream.read(_LARGEST)  # what is longer breaks off here, and is no JSON
        manifest = json.loads(contents)
    except OSError as error:
        raise RunFolderError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{file} is damaged.") from error
    if not isinstance(manifest, dict):
        raise RunFolderError(f"{file} describes no run.")
    return manifest


def run_hash(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of everything that a run's results depend on."""
    return hashlib.sha256(json.dumps(_identity(manifest), sort_keys=True).encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What two runs depend on and do not share, in words; images that are not known yet are left out."""
    before, after = _identity(old), _identity(new)
    keys = dict.fromkeys([*before, *after])
    if "images" not in after:
        keys.pop("images", None)
    named = []
    for group in ("attacks", "defenses"):
        one, other = (_named(run, group) for run in (old, new))
        if one != other:
            named.append(f"{group} was {json.dumps(one)}, now {json.dumps(other)}")
            keys = dict.fromkeys(key for key in keys if not key.startswith(group))
    return [
        f"{key} was {json.dumps(before.get(key))}, now {json.dumps(after.get(key))}"
        for key in keys
        if before.get(key) != after.get(key)
    ] + named


def _named(manifest: Mapping[str, Any], group: str) -> list[Any]:
    """The attacks or defenses of a run in their order; none where something else stands in their place."""
    named = entry(manifest, "settings", group)
    return list(named) if isinstance(named, Mapping) else []


def _identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's results depend on, as flat keys: its settings, its checkpoint and its images."""
    parts = {
        "settings": manifest.get("settings"),
        "checkpoint": entry(manifest, "checkpoint", "sha256"),
        "images": entry(manifest, "data", "fingerprint"),
    }
    flat = dict(_flatten(json.loads(json.dumps(parts))))  # through JSON, so that tuples are lists here too
    return {key.removeprefix("settings."): value for key, value in flat.items() if value is not None}


def entry(manifest: Mapping[str, Any], group: str, name: str) -> Any:
    """`manifest[group][name]`, None where either is missing."""
    values = manifest.get(group)
    return values.get(name) if isinstance(values, Mapping) else None


def keeps_examples(manifest: Mapping[str, Any]) -> bool:
    """Whether a run was asked to keep its adversarial examples."""
    return entry(manifest, "settings", "save_adversarial") is not None


def _flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flatten(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, value
