"""A run's records against the parts that it wrote on its way, and every file against where it comes from."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from advbench.errors import RunFolderError
from advbench.files import is_named_after
from advbench.jobs.check import Check
from advbench.regular_files import read_if_there, read_regular
from advbench.results.records import SAMPLE_TYPES, join_samples
from advbench.results.shown import PURPOSES, added_up, read_shown
from advbench.runs.examples import origin_of_examples
from advbench.runs.folder import ADVERSARIAL, LARGEST_LIST, SHOWN, SUBSTITUTES, Part, part_of
from advbench.runs.manifest import MANIFEST, Manifest
from advbench.runs.provenance import origins_of_starts
from advbench.runs.samples import LARGEST, PARTS, SAMPLES, frame_of, read_table

_KEY: Final = ["defense", "attack", "rung", "index"]
_MOST: Final = 2_000_000  # records of one part


class _Read(NamedTuple):
    """The parts of a run, and what is wrong with them."""

    parts: Mapping[str, Part]
    faults: list[str]


def check_parts(manifest: Manifest, samples: pd.DataFrame) -> Iterator[Check]:
    """Whether the records are those of the parts, each example belongs to one, and all come from this run.

    Args:
        manifest: the run's `run.json`.
        samples: the records of the whole run.
    """
    parts, faults = _read(manifest.path)
    attacked = samples[samples["rung"] != "clean"]
    fault = _other_records(parts, attacked)
    faults += [fault] if fault else []
    sentence = "; ".join(faults[:3]) or f"{len(attacked)} records in {len(parts)} parts, those of {SAMPLES}"
    yield Check(f"{PARTS}/", not faults, sentence)
    if manifest.keeps_examples:
        strays = _strays(manifest.path, parts)
        yield Check(
            f"parts of {ADVERSARIAL}/", not strays, "; ".join(strays[:3]) or "each example belongs to one"
        )
    yield _check_origins(manifest, parts)
    yield _check_shown(manifest, parts)


def _read(folder: Path) -> _Read:
    parts: dict[str, Part] = {}
    faults = []
    for path in sorted((folder / PARTS).glob("*.parquet")):
        contents = read_if_there(path, LARGEST) or b""
        if not is_named_after(path, contents):
            faults.append(f"{path.name} is not named after what it holds")
        try:
            parts[path.name] = part_of(contents, _MOST)
        except RunFolderError as error:
            faults.append(f"{path.name}: {error}")
    return _Read(parts, faults)


def _other_records(parts: Mapping[str, Part], attacked: pd.DataFrame) -> str:
    """Where the records of the run and of its parts differ; empty where they do not."""
    try:
        records = frame_of([part.table for part in parts.values()]) if parts else join_samples([])
    except RunFolderError as error:
        return f"the parts do not go together: {error}"
    partial_records = records.drop_duplicates(_KEY).set_index(_KEY)
    wanted = attacked.set_index(_KEY)
    strange = partial_records.index.difference(wanted.index)
    if len(strange):
        return f"there are parts of {len(strange)} records that {SAMPLES} does not have"
    missing = wanted.index.difference(partial_records.index)
    if len(missing):
        return f"no part holds {len(missing)} of {len(wanted)} records ({_place(missing[0])})"
    partial_records = partial_records.loc[wanted.index]
    for name in SAMPLE_TYPES:
        if name in _KEY:
            continue
        one, other = wanted[name], partial_records[name]
        differs = ~((one == other) | (one.isna() & other.isna())).to_numpy(dtype=bool)
        if differs.any():
            place = _place(wanted.index[int(differs.argmax())])
            return f"{int(differs.sum())} records have another {name} than their parts ({place})"
    return ""


def _place(key: tuple[Any, ...]) -> str:
    return " · ".join(filter(None, map(str, key[:-1]))) + f", image {key[-1]}"


def _strays(folder: Path, parts: Mapping[str, Part]) -> list[str]:
    """Files of examples that are not named by exactly one part, and the other way round."""
    named = [part.companion for part in parts.values() if part.companion]
    present = {path.name for path in (folder / ADVERSARIAL).glob("*.safetensors")}
    faults = [f"a part names {name}, which is not there" for name in sorted(set(named) - present)]
    faults += [f"no part names {name}" for name in sorted(present - set(named))]
    return faults + [f"{name} is named twice" for name in sorted(set(named)) if named.count(name) > 1]


def _check_origins(manifest: Manifest, parts: Mapping[str, Part]) -> Check:
    """Whether records, parts and examples say themselves that they come from a start of this run."""
    starts = origins_of_starts(manifest.values)
    whole = manifest.seal is not None
    origins = {f"{PARTS}/{name}": part.origin for name, part in parts.items()}
    for path in sorted((manifest.path / ADVERSARIAL).glob("*.safetensors")):
        origins[f"{ADVERSARIAL}/{path.name}"] = origin_of_examples(path)
    for path in sorted((manifest.path / SUBSTITUTES).glob("*")):
        own_word = _origin_of_search if path.suffix == ".json" else origin_of_examples
        origins[f"{SUBSTITUTES}/{path.name}"] = own_word(path)
    try:
        own = read_table(read_regular(manifest.path / SAMPLES, LARGEST), len(SAMPLE_TYPES) * _MOST)[1]
    except (OSError, RunFolderError):
        own = {}
    wrong = [name for name, origin in origins.items() if not _is_one(origin, starts, whole=whole)]
    wrong += [] if _is_one(own, starts[:1], whole=whole) else [SAMPLES]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return Check("origins", False, f"{', '.join(wrong[:3])}{more}: of another run than {MANIFEST} tells")
    return Check("origins", True, f"{len(origins) + 1} files say that they are of this run")


def _origin_of_search(path: Path) -> dict[str, Any]:
    """Where what a search has kept says that it comes from; empty where it does not say."""
    try:
        origin = json.loads(read_if_there(path, LARGEST_LIST) or b"{}")["origin"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    return origin if isinstance(origin, dict) else {}


def _is_one(origin: Mapping[str, Any], starts: Sequence[Mapping[str, str]], *, whole: bool) -> bool:
    """Whether an origin is that of a start; files of earlier versions may say less."""
    return any(
        all(origin[name] == text if name in origin else not whole for name, text in start.items())
        for start in starts
    )


def _check_shown(manifest: Manifest, parts: Mapping[str, Part]) -> Check:
    """Whether the model was shown at least as many images as the parts tell."""
    total, in_parts = (
        read_shown(manifest.values.get(SHOWN)),
        added_up([part.shown for part in parts.values()]),
    )
    less = [purpose for purpose in PURPOSES if total[purpose] < in_parts[purpose]]
    if less:
        return Check(
            SHOWN,
            False,
            f"{MANIFEST} tells {total[less[0]]} images for {less[0]}, its parts {in_parts[less[0]]}",
        )
    return Check(SHOWN, True, f"{sum(total.values()):,} images, no fewer than the parts tell")
