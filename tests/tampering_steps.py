"""How a run is tampered with: functions that make what changes a copy of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from advbench.defended.learned import pack_network, read_network
from advbench.runs.examples import origin_of_examples, read_examples
from advbench.runs.samples import pack_samples, read_samples
from tests.forging import (
    everywhere,
    examples_of,
    fit,
    flip,
    manifest_of,
    parts_of,
    repack,
    rewrite,
    rewrite_part,
    write_manifest,
)


def network_of(run: Path) -> Path:
    return next((run / "substitutes").glob("learned-*"))


def search_of(run: Path) -> Path:
    return next((run / "substitutes").glob("search-*"))


def part_of(run: Path, rung: str = "bpda") -> Path:
    """The first part of a rung, of records that were attacked."""
    for part in parts_of(run):
        samples, about = read_samples(part.read_bytes(), 1000)
        if samples["rung"].iloc[0] == rung and about["examples"]:
            return part
    raise AssertionError(rung)


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Change a text file."""

    def change(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text, (name, old)
        (run / name).write_text(text.replace(old, new, 1))

    return change


def replaced_in_search(old: str, new: str) -> Callable[[Path], None]:
    """Change what the search has kept."""
    return lambda run: replaced(f"substitutes/{search_of(run).name}", old, new)(run)


def edited(*path: str, to: Any) -> Callable[[Path], None]:
    """Change an entry of run.json; `to` may be a function of what was there."""

    def change(run: Path) -> None:
        values = manifest_of(run)
        group: Any = values
        for name in path[:-1]:
            group = group[name]
        before = group.get(path[-1])
        after = to(before) if callable(to) else to
        assert after != before, path
        group[path[-1]] = after
        write_manifest(run, values)

    return change


def then(*steps: Callable[[Path], object]) -> Callable[[Path], None]:
    """One step after another."""

    def change(run: Path) -> None:
        for step in steps:
            step(run)

    return change


def indicator(name: str, **new: Any) -> Callable[[Path], None]:
    """Change the first indicator of a name that BPDA has; without anything new it is taken out."""

    def of(before: list[dict[str, Any]]) -> list[dict[str, Any]]:
        place = next(
            number for number, one in enumerate(before) if one["name"] == name and one["rung"] == "bpda"
        )
        after = [dict(one) for one in before]
        if new:
            after[place] |= new
        else:
            del after[place]
        return after

    return edited("heading", "indicators", to=of)


def candidate(rank: int, **new: Any) -> Callable[[Path], None]:
    """Change a candidate in run.json and in the search's file."""

    def change(run: Path) -> None:
        values, file = manifest_of(run), search_of(run)
        kept = json.loads(file.read_text())
        for listed in (values["candidates"], kept["candidates"]):
            next(one for one in listed if one["rank"] == rank).update(new)
        write_manifest(run, values)
        file.write_text(json.dumps(kept))

    return change


def swapped_ranks(run: Path) -> None:
    values, file = manifest_of(run), search_of(run)
    kept = json.loads(file.read_text())
    for listed in (values["candidates"], kept["candidates"]):
        for one in listed:
            one["rank"] = {1: 2, 2: 1}[one["rank"]]
    defense = values["candidates"][0]["defense"]
    words = values["heading"]["substitutes"][defense].split("; ")
    values["heading"]["substitutes"][defense] = "; ".join(reversed(words))
    write_manifest(run, values)
    file.write_text(json.dumps(kept))


def other_network(scale: float) -> Callable[[Path], None]:
    """Put another network in the place of the fitted one."""

    def change(run: Path) -> None:
        path = network_of(run)
        network = read_network(path.read_bytes(), torch.device("cpu"))
        assert network is not None
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
        path.write_bytes(pack_network(network, origin_of_examples(path)))

    return change


def moved(by: float, rung: str = "shattered") -> Callable[[Path], None]:
    """Move an example at one pixel that is not the farthest, inside ball and box."""

    def change(run: Path) -> None:
        path = examples_of(run, rung)
        x_adv = read_examples(path).x_adv
        inner = ((x_adv > 0.05) & (x_adv < 0.1)).nonzero()[0]
        x_adv[tuple(inner)] += by
        rewrite(path, x_adv=x_adv)

    return change


def other_origin(**origin: str) -> Callable[[Path], object]:
    return lambda run: rewrite(examples_of(run), origin=origin)


def part_origin(**origin: str) -> Callable[[Path], object]:
    return lambda run: rewrite_part(part_of(run), about=origin)


def network_origin(**origin: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        path = network_of(run)
        network = read_network(path.read_bytes(), torch.device("cpu"))
        assert network is not None
        path.write_bytes(pack_network(network, {**origin_of_examples(path), **origin}))

    return change


def samples_origin(**origin: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        samples, told = read_samples((run / "samples.parquet").read_bytes(), 1000)
        (run / "samples.parquet").write_bytes(pack_samples(samples, {**told, **origin}))

    return change


def in_part_alone(column: str, value: Any) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        part = part_of(run)
        samples, about = read_samples(part.read_bytes(), 1000)
        samples.loc[samples.index[0], column] = value
        rewrite_part(part, samples, about)

    return change


def in_whole_alone(column: str, value: Any) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        samples, told = read_samples((run / "samples.parquet").read_bytes(), 1000)
        samples.loc[samples.query("rung == 'bpda' and queries > 0").index[0], column] = value
        (run / "samples.parquet").write_bytes(pack_samples(samples, told))

    return change


def copied(name: str, new: str) -> Callable[[Path], object]:
    return lambda run: shutil.copy(next(run.glob(name)), run / new)


def flipped(pattern: str) -> Callable[[Path], None]:
    return lambda run: flip(next(run.glob(pattern)), 0.6)


def emptied(pattern: str) -> Callable[[Path], object]:
    return lambda run: next(run.glob(pattern)).write_bytes(b"")


def in_both(where: str, column: str, to: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Change a record in the whole and in its part, and make all fit."""
    return lambda run: everywhere(run, where, column, to)


def twice(file: Callable[[Path], Path]) -> Callable[[Path], object]:
    """Copy a part, or a file of examples, as that of another process."""

    def change(run: Path) -> None:
        path = file(run)
        shutil.copy(path, path.with_name(path.name.replace("0000-", "0001-")))

    return change


def gone(pattern: str, most: int = 1) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        for path in sorted(run.glob(pattern))[:most]:
            path.unlink()

    return change


def renamed_attack(run: Path) -> None:
    """Call the attack stronger than it was, in the settings and in every file."""
    values = manifest_of(run)
    old, new = next(iter(values["settings"]["attacks"])), "pgd:steps=300"
    described = values["settings"]["attacks"].pop(old)
    values["settings"]["attacks"] = {new: {**described, "steps": 300}}
    values["heading"]["attacks"] = [new]
    for one in values["heading"]["indicators"]:
        one["attack"] = new if one["attack"] == old else one["attack"]
    write_manifest(run, values)
    for path in sorted((run / "adversarial").iterdir()):
        examples = read_examples(path)
        if examples.cell.attack == old:
            _rewrite_cell(path, new)
    for path in [run / "samples.parquet", *parts_of(run)]:
        samples, about = read_samples(path.read_bytes(), 1000)
        samples.loc[samples["attack"] == old, "attack"] = new
        if path.parent.name == "parts":
            rewrite_part(path, samples, about)
        else:
            path.write_bytes(pack_samples(samples, about))
    repack(run)
    fit(run)


def _rewrite_cell(path: Path, attack: str) -> None:
    examples = read_examples(path)
    rewrite(path, cell=examples.cell._replace(attack=attack))


def settings(**new: Any) -> Callable[[Path], None]:
    """Change settings, and have every file say that it is of a run of these."""

    def change(run: Path) -> None:
        values = manifest_of(run)
        values["settings"] |= new
        values["heading"] |= {name: text for name, text in new.items() if name in values["heading"]}
        write_manifest(run, values)
        repack(run)
        fit(run)

    return change


def as_told_by(*path: str, to: Any) -> Callable[[Path], None]:
    """Change an entry of run.json, and have every file and table tell the same."""
    return then(edited(*path, to=to), repack, fit)
