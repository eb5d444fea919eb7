"""How a run's evidence is forged: a byte, an example, a record, with every digest made to fit."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.runs.examples import Examples, pack_examples, read_examples
from advbench.runs.manifest import run_hash
from advbench.runs.samples import pack_samples, read_samples


def flip(path: Path, where: float) -> None:
    """Change one bit of one byte, as far into the file as asked for."""
    contents = bytearray(path.read_bytes())
    contents[min(int(where * len(contents)), len(contents) - 1)] ^= 1 << 3
    path.write_bytes(contents)


def examples_of(run: Path, rung: str = "bpda") -> Path:
    files = sorted((run / "adversarial").iterdir())
    return next(each for each in files if read_examples(each).cell.rung == rung)


def rewrite(path: Path, indices: Tensor | None = None, x_adv: Tensor | None = None) -> None:
    """Forge a file of examples whose name fits what it holds."""
    was = read_examples(path)
    forged = Examples(
        was.cell, was.indices if indices is None else indices, was.x_adv if x_adv is None else x_adv
    )
    contents = pack_examples(forged, {})
    path.unlink()
    digest = hashlib.blake2b(contents, digest_size=8).hexdigest()
    path.with_name(f"{path.stem.rpartition('-')[0]}-{digest}.safetensors").write_bytes(contents)


def seal(run: Path, **changes: Any) -> None:
    """Forge `run.json` so that every digest in it fits."""
    manifest = {**json.loads((run / "run.json").read_text()), **changes}
    manifest["files"] = {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in manifest["files"]
    }
    (run / "run.json").write_text(json.dumps({**manifest, "hash": run_hash(manifest)}))


def move_out_of_the_ball(run: Path) -> None:
    path = examples_of(run)
    x_adv = read_examples(path).x_adv
    x_adv[1, 0, 0, 0] = 1.0 - x_adv[1, 0, 0, 0]
    rewrite(path, x_adv=x_adv)


def move_out_of_the_box(run: Path) -> None:
    path = examples_of(run)
    x_adv = read_examples(path).x_adv
    x_adv[x_adv == 0.0] = -0.01
    rewrite(path, x_adv=x_adv)


def make_it_nothing(run: Path) -> None:
    path = examples_of(run)
    rewrite(path, x_adv=torch.full_like(read_examples(path).x_adv, torch.nan))


def put_the_clean_images(run: Path) -> None:
    path = examples_of(run)
    images = load_dataset("digits", Place(root=Path(), split="test"))
    rewrite(path, x_adv=torch.stack([images[int(each)][0] for each in read_examples(path).indices]))


def swap_two(run: Path) -> None:
    path = examples_of(run)
    indices = read_examples(path).indices
    rewrite(path, indices=indices.flip(0))


def lose_one(run: Path) -> None:
    path = examples_of(run)
    examples = read_examples(path)
    rewrite(path, indices=examples.indices[1:], x_adv=examples.x_adv[1:])


def repeat_a_file(run: Path) -> None:
    path = examples_of(run)
    shutil.copy(path, path.with_name(path.name.replace("0000-", "0001-")))


def name_a_stranger(run: Path) -> None:
    path = examples_of(run)
    indices = read_examples(path).indices
    indices[0] = 200
    rewrite(path, indices=indices)


def change_the_size(run: Path) -> None:
    path = examples_of(run)
    rewrite(path, x_adv=read_examples(path).x_adv[:, :, :4])


FORGED_EXAMPLES = {
    move_out_of_the_ball: "outside the ball (1 of 30",
    move_out_of_the_box: "outside [0, 1]",
    make_it_nothing: "outside [0, 1]",
    put_the_clean_images: "another prediction than recorded",
    swap_two: "outside the ball",
    lose_one: "no example of it was kept (1 of 30",
    repeat_a_file: "more than one example",
    name_a_stranger: "no record of the example",
    change_the_size: "another shape than the image's",
}


def samples_of(run: Path) -> pd.DataFrame:
    return read_samples((run / "samples.parquet").read_bytes(), 1000)[0]


def record(run: Path, where: str, column: str, change: Callable[[Any], Any]) -> None:
    """Forge one record of a rung, and every digest."""
    samples = samples_of(run)
    row = samples.query(where).index[0]
    samples.loc[row, column] = change(samples.loc[row, column])
    (run / "samples.parquet").write_bytes(pack_samples(samples, {}))
    seal(run)


BPDA = "rung == 'bpda' and not robust"
FORGED_RECORDS = {
    "an image that fell is called robust": (BPDA, "robust", lambda _: True, "counted other than judged"),
    "a robust image is said to have fallen": (
        "rung == 'shattered' and defense == 'round' and robust",
        "robust",
        lambda _: False,
        "counted other than judged",
    ),
    "another prediction": (BPDA, "prediction", lambda k: (k + 1) % 10, "another prediction than recorded"),
    "a prediction that is no class": (BPDA, "prediction", lambda _: 99, "another prediction than recorded"),
    "a shorter distance": (BPDA, "distance", lambda d: d / 2, "another distance than recorded"),
    "another clean prediction": (
        "rung == 'clean' and robust",
        "prediction",
        lambda k: (k + 1) % 10,
        "another prediction than recorded",
    ),
    "another label": (
        "rung == 'clean'",
        "label",
        lambda k: (k + 1) % 10,
        "another label than the data set's",
    ),
    "a record twice, another missing": ("rung == 'bpda'", "index", lambda i: i + 1, "not one for each"),
    "another rung": ("rung == 'bpda'", "rung", lambda _: "static", "not one for each"),
}
