"""A sweep's file for a model and data of one's own, with comments that say what else it may hold."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Final

from advbench.data.registry import DATASETS
from advbench.errors import InputError, SpecError, nearest, printable
from advbench.files import write_whole
from advbench.jobs.settings.init import InitSettings
from advbench.jobs.sweep.cells import make_cells
from advbench.jobs.sweep.file import grid_of_tables

MODEL: Final = "digits-cnn"
DATASET: Final = "digits"
DEFENSES: Final = ("round", "bit-depth:bits=3")

_TEXT: Final = """\
# Every model under every threat, behind every defense, with every attack, as one table:
#
#   advbench sweep {file} --dry-run    what it would do, and how long that takes
#   advbench sweep {file}              do it; the same command goes on where it was stopped

# Norm and radius; pixels lie in [0, 1]. This is usual for {dataset}.{others}
threats = [{threats}]

# NAME[:key=value,...][@place], chained with "+". Your own function: "file.py:name".
# All that there are: advbench list defenses
defenses = [{defenses}]

# All that there are: advbench list attacks. "strongest" finds more and takes longer.
attacks = ["pgd"]

# Options of `advbench attack` for every cell, with "_" for "-".
[defaults]
dataset = {dataset_text}
{data_root}
# A class-balanced sample; without this line all images.
limit = {limit}
# Every rung and a verdict for each row: is it robust, or is only its gradient hidden?
ladder = true
# Keep the examples, so that `advbench verify` can judge them again:
# save_adversarial = true
# A random defense: draws for a gradient, and for the judge.
# eot = 20
# judge_draws = 21

# A table for each model; an option that stands here is that model's own.
[[models]]
name = {name}
model = {model}
{checkpoint}
# Its normalisation, where the weights do not tell: "none", "dataset", "half", "imagenet" or "255".
# normalization = "dataset"
"""


def write_sweep(settings: InitSettings) -> Path:
    """Write the file, once it has been read as `advbench sweep` will read it.

    Raises:
        InputError: a name that there is not, or a file that is there.
    """
    if settings.file.exists() and not settings.overwrite:
        raise InputError(f"{settings.file} is there. Give another name, or --overwrite.")
    text = sweep_text(settings)
    make_cells(grid_of_tables(tomllib.loads(text)))  # every name is looked up
    if not settings.file.parent.is_dir():
        raise InputError(f"{settings.file.parent} is no folder.")
    write_whole(settings.file, text.encode())
    return settings.file


def sweep_text(settings: InitSettings) -> str:
    """The file.

    Raises:
        SpecError: a data set that there is not.
    """
    settings = _with_defaults(settings)
    assert settings.dataset is not None  # it has its default
    entry = DATASETS.get(settings.dataset)
    if entry is None:
        raise SpecError(f"there is no data set {settings.dataset!r}. {nearest(settings.dataset, DATASETS)}")
    others = [f"l2 {entry.eps_l2}"] if entry.eps_l2 else []
    return _TEXT.format(
        file=printable(str(settings.file)),
        dataset=settings.dataset,
        others="".join(f" Another norm: {_quoted(threat)}." for threat in others),
        threats=_quoted(f"linf {entry.eps}"),
        defenses=", ".join(map(_quoted, settings.defenses)),
        dataset_text=_quoted(settings.dataset),
        data_root=_line("data_root", settings.data_root, "data"),
        limit=settings.limit,
        name=_quoted(settings.checkpoint.stem if settings.checkpoint else str(settings.model)),
        model=_quoted(str(settings.model)),
        checkpoint=_line("checkpoint", settings.checkpoint, "net.pt"),
    )


def _with_defaults(settings: InitSettings) -> InitSettings:
    return replace(
        settings,
        model=settings.model or MODEL,
        dataset=settings.dataset or DATASET,
        defenses=settings.defenses or DEFENSES,
    )


def _line(key: str, value: Path | None, example: str) -> str:
    """A key with its value, or a comment that shows it."""
    return f"{key} = {_quoted(str(value))}" if value is not None else f'# {key} = "{example}"'


def _quoted(text: str) -> str:
    """A basic string of TOML; JSON's escapes are a part of TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
