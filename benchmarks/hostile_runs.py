"""Hostile folders of runs, sweeps and trainings, and hostile files of sweeps; stock is made of sound ones."""

import hashlib
import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import safetensors.torch
import torch

from advbench.runs.manifest import run_hash
from advbench.runs.seal import digest_of
from benchmarks.fuzz_lines import SMALL_ATTACK, SMALL_TRAINING
from benchmarks.hostile_damage import ANYWHERE, VALUES, contents_of, files_below, forge_json, put_text

_ATTACK: Final = ("attack", *SMALL_ATTACK, "--defense", "round", "--bpda", "--save-adversarial", "--quiet")
_TRAINING: Final = ("finetune", *SMALL_TRAINING, "--quiet")
_ROWS: Final = 5_000_000  # of a file of records that packs to nothing

_SWEEP: Final = """threats = ["0.1", "inf"]
attacks = ["pgd:steps=1"]
defenses = ["round", "jpeg:quality=75"]
[defaults]
dataset = "digits"
first = 2
batch_size = 8
"""


@dataclass(frozen=True)
class Stock:
    """Sound folders, which cases copy.

    Args:
        run: a finished run that kept its examples.
        training: a finished training.
        sweep: a finished sweep.
    """

    run: Path
    training: Path
    sweep: Path

    def hostile_run(self, draw: random.Random, folder: Path) -> list[str]:
        """A run, forged or damaged, and a command that reads it."""
        home = folder / "run"
        shutil.copytree(self.run, home)
        for _ in range(draw.choice([1, 1, 2])):
            draw.choice([_forge_entries, _forge_entries, _forge_file, _forge_file, _forge_records])(
                draw, home
            )
        if draw.random() < 0.5:
            _seal_anew(home)
        return draw.choice(
            [
                ["verify", "run"],
                ["verify", "run"],
                ["verify", "run", "--deep"],
                ["report", "run"],
                ["report", "run", "--format", "html,latex", "--out", "report"],
                ["report", "run", "--baseline", "run", "--json"],
                [*_ATTACK, "--out", "run"],
            ]
        )

    def hostile_training(self, draw: random.Random, folder: Path) -> list[str]:
        """A training, forged or damaged, and a command that reads it."""
        home = folder / "training"
        shutil.copytree(self.training, home)
        for _ in range(draw.choice([1, 1, 2])):
            _forge_file(draw, home)
        if draw.random() < 0.3:
            status = home / "run.json"
            if said := contents_of(status):
                status.write_bytes(said.replace(b'"done"', b'"running"'))
        weights = next((path for path in files_below(home) if path.suffix == ".safetensors"), home)
        return draw.choice(
            [
                ["report", "training"],
                ["report", "training", "--format", "html", "--out", "report"],
                [*_TRAINING, "--out", "training"],
                ["attack", *SMALL_ATTACK, "--checkpoint", str(weights), "--model", "digits-cnn"],
            ]
        )

    def hostile_sweep(self, draw: random.Random, folder: Path) -> list[str]:
        """A sweep's folder, forged or damaged, and a command that reads it."""
        home = folder / "sweep"
        shutil.copytree(self.sweep, home)
        for _ in range(draw.choice([1, 1, 2])):
            _forge_file(draw, home)
        (folder / "file.toml").write_text(_SWEEP)
        return draw.choice([["report", "sweep"], ["sweep", "file.toml", "--out", "sweep", "--dry-run"]])


def make_stock(home: Path, run: Callable[[list[str]], int]) -> Stock:
    """Make the sound folders.

    Args:
        home: where they go.
        run: runs a command line, and returns its exit code.
    """
    (home / "file.toml").write_text(_SWEEP)
    for words in (
        [*_ATTACK, "--out", str(home / "run")],
        [*_TRAINING, "--out", str(home / "training")],
        ["sweep", str(home / "file.toml"), "--out", str(home / "sweep"), "--quiet"],
    ):
        assert run(words) == 0, words
    return Stock(home / "run", home / "training", home / "sweep")


def hostile_toml(draw: random.Random, folder: Path) -> list[str]:
    """A sweep's file."""
    path = folder / "file.toml"
    path.write_text(_SWEEP)
    if draw.random() < 0.5:
        draw.choice([*ANYWHERE, put_text, put_text])(draw, path)
    else:
        path.write_text(draw.choice(_LINES)(draw) + _SWEEP * (draw.random() < 0.3), errors="surrogatepass")
    return ["sweep", str(path), "--dry-run"]


def _value(draw: random.Random) -> str:
    value = draw.choice(VALUES)
    return (
        json.dumps(value, ensure_ascii=draw.random() < 0.5) if value is not None else "1979-05-27T07:32:00Z"
    )


_LINES: Final[tuple[Callable[[random.Random], str], ...]] = (
    lambda draw: f"threats = {_value(draw)}\n",
    lambda draw: f"defenses = [{_value(draw)}]\nattacks = [{_value(draw)}]\n",
    lambda draw: (
        f"[defaults]\n{draw.choice(['steps', 'first', 'eps', 'seed', 'model', 'x'])} = {_value(draw)}\n"
    ),
    lambda draw: f"[[models]]\nmodel = {_value(draw)}\n" * draw.choice([1, 3000]),
    lambda draw: (
        "threats = [" + ", ".join(f'"{n}/255"' for n in range(draw.choice([300, 3000]))) + "]\n"
        "defenses = [" + ", ".join(f'"round:step={n}e-3"' for n in range(1, draw.choice([300, 3000]))) + "]\n"
    ),
    lambda draw: ".".join(["a"] * draw.choice([10, 1_000])) + " = 1\n",
    lambda draw: f'"{"k" * 100_000}" = {_value(draw)}\n',
    lambda draw: (
        "curve = true\nthreats = " + json.dumps([draw.choice(["inf", "0", "-1", "nan", "1e999"])] * 3) + "\n"
    ),
    lambda _: "".join(f"[t{number}]\n" for number in range(30_000)),
)


def _forge_entries(draw: random.Random, home: Path) -> None:
    forge_json(draw, home / "run.json")


def _forge_file(draw: random.Random, home: Path) -> None:
    files = files_below(home)
    path = draw.choice([*files, home / "run.json", home / "new.safetensors"])
    forge = forge_json if path.suffix == ".json" and draw.random() < 0.6 else draw.choice(ANYWHERE)
    forge(draw, path)


def _forge_records(draw: random.Random, home: Path) -> None:
    """Records or examples in the right form, and with other contents."""
    if draw.random() < 0.3:
        files = [path for path in sorted((home / "adversarial").glob("*.safetensors")) if path.is_file()]
        path = draw.choice(files or [home / "x.safetensors"])
        count = draw.choice([1, 3, 100_000])
        x_adv = draw.choice([torch.zeros(count, 1, 8, 8), torch.full((count, 1, 8, 8), float("nan"))])
        tensors = {"index": torch.arange(count) + draw.choice([0, -5, 2**62]), "x_adv": x_adv}
        about = {"defense": "round", "attack": "pgd:steps=1", "rung": draw.choice(["bpda", "shattered", "x"])}
        path.write_bytes(safetensors.torch.save(tensors, about))
        return
    path = home / "samples.parquet"
    if not contents_of(path):
        return
    try:
        records = pd.read_parquet(io.BytesIO(contents_of(path)))
    except (OSError, ValueError):  # damaged already
        return
    column = draw.choice(list(records.columns))
    match draw.choice(["value", "rows", "gone", "many", "none"]):
        case "value":
            records[column] = draw.choice(
                [0, -1, 2**62, 1e308, "x" * 1000, "\x1b[31m", None, True, [1], np.nan]
            )
        case "rows":
            records = pd.concat([records] * draw.choice([2, 50]))
        case "gone":
            records = records.drop(columns=column)
        case "many":
            path.write_bytes(_endless(records))
            return
        case _:
            records = records.iloc[:0]
    try:
        records.to_parquet(path)
    except (ValueError, TypeError):
        path.unlink()


def _endless(records: pd.DataFrame) -> bytes:
    """Five million records that are all the same."""
    first = pyarrow.Table.from_pandas(records.iloc[:1], preserve_index=False)
    columns = {
        name: pyarrow.DictionaryArray.from_arrays(
            pyarrow.array(np.zeros(_ROWS, np.int32)), first[name].combine_chunks()
        ).cast(first[name].type)
        for name in first.column_names
    }
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def _seal_anew(home: Path) -> None:
    """Digests that fit, as far as `run.json` can be read."""
    path = home / "run.json"
    try:
        values: Any = json.loads(contents_of(path))
        files = {name: hashlib.sha256(contents_of(home / name)).hexdigest() for name in values["files"]}
        values = {**values, "files": files}
        values["hash"] = run_hash(values)
        held = {
            name: hashlib.sha256(contents_of(home / name)).hexdigest() for name in values["seal"]["files"]
        }
        values["seal"] = {**values["seal"], "files": held, "entries": digest_of(values)}
        path.write_text(json.dumps(values), errors="surrogatepass")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return
