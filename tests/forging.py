"""How a run's evidence is forged: a byte, an example, a record, with every digest made to fit."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defended.learned import pack_network, read_network
from advbench.jobs.report_page import page_of_run
from advbench.reports.formats import FILE_NAMES, render
from advbench.reports.style import style_of
from advbench.results.table import Cell, rows_of, warnings_told
from advbench.runs.examples import Examples, origin_of_examples, pack_examples, read_examples
from advbench.runs.folder import files_of_run
from advbench.runs.listings import candidates_csv, indicators_csv
from advbench.runs.manifest import run_hash
from advbench.runs.provenance import origin_of
from advbench.runs.read import read_records
from advbench.runs.samples import pack_samples, read_samples
from advbench.runs.seal import seal_of


def flip(path: Path, where: float) -> None:
    """Change one bit of one byte, as far into the file as asked for."""
    contents = bytearray(path.read_bytes())
    contents[min(int(where * len(contents)), len(contents) - 1)] ^= 1 << 3
    path.write_bytes(contents)


def examples_of(run: Path, rung: str = "bpda") -> Path:
    files = sorted((run / "adversarial").iterdir())
    return next(file for file in files if read_examples(file).cell.rung == rung)


def named_after(path: Path, contents: bytes) -> Path:
    """Where a part, or a file of examples, of these contents belongs."""
    digest = hashlib.blake2b(contents, digest_size=8).hexdigest()
    return path.with_name(f"{path.stem.rpartition('-')[0]}-{digest}{path.suffix}")


def rewrite(
    path: Path,
    indices: Tensor | None = None,
    x_adv: Tensor | None = None,
    origin: Mapping[str, str] = MappingProxyType({}),
    cell: Cell | None = None,
) -> Path:
    """Forge a file of examples whose name fits what it holds, and the part that names it."""
    was = read_examples(path)
    forged = Examples(
        was.cell if cell is None else cell,
        was.indices if indices is None else indices,
        was.x_adv if x_adv is None else x_adv,
    )
    contents = pack_examples(forged, {**origin_of_examples(path), **origin})
    path.unlink()
    new = named_after(path, contents)
    new.write_bytes(contents)
    for part in parts_of(path.parent.parent):
        samples, about = read_samples(part.read_bytes(), 100_000)
        if about["examples"] == path.name:
            rewrite_part(part, samples, {**about, "examples": new.name})
    return new


def parts_of(run: Path) -> list[Path]:
    return sorted((run / "parts").iterdir())


def rewrite_part(
    part: Path, samples: pd.DataFrame | None = None, about: Mapping[str, str] = MappingProxyType({})
) -> Path:
    """Forge a part whose name fits what it holds."""
    was, told = read_samples(part.read_bytes(), 100_000)
    contents = pack_samples(was if samples is None else samples, {**told, **about})
    part.unlink()
    new = named_after(part, contents)
    new.write_bytes(contents)
    return new


def manifest_of(run: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((run / "run.json").read_text())
    return values


def write_manifest(run: Path, values: dict[str, Any]) -> None:
    (run / "run.json").write_text(json.dumps(values))


def forge_settings(run: Path, settings: object) -> None:
    """Write other settings with the hash that fits them, and take the seal off."""
    values = {**manifest_of(run), "settings": settings, "seal": None}
    write_manifest(run, {**values, "hash": run_hash(values)})


def seal(run: Path, **changes: Any) -> None:
    """Forge `run.json` so that every digest in it fits."""
    manifest = {**manifest_of(run), **changes}
    manifest["files"] = {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest()
        for name in manifest["files"]
        if (run / name).is_file()
    }
    manifest["hash"] = run_hash(manifest)
    if manifest.get("seal"):
        manifest["seal"] = asdict(seal_of(run, files_of_run(run), manifest))
    write_manifest(run, manifest)


def fit(run: Path, **changes: Any) -> None:
    """Forge what people read so that it fits records and `run.json`, and every digest."""
    seal(run, **changes)
    records = read_records(run)
    rows, origin = rows_of(records.samples, records.heading), origin_of(records.manifest.values)
    style = style_of(records.manifest.values.get("tables"))
    for form, name in FILE_NAMES.items():
        if (run / name).exists():
            (run / name).write_text(render(rows, form, origin, style))
    if records.heading.indicators and (run / "indicators.csv").exists():
        (run / "indicators.csv").write_text(indicators_csv(records.heading.indicators, origin))
    if records.manifest.candidates and (run / "substitutes.csv").exists():
        (run / "substitutes.csv").write_text(candidates_csv(records.manifest.candidates, origin))
    if (run / "report.html").exists():
        name = records.manifest.seal.folder if records.manifest.seal else ""
        (run / "report.html").write_text(page_of_run(records, style, name))
    seal(run, warnings=warnings_told(rows), notes=list(records.heading.notes))


def repack(run: Path) -> None:
    """Forge parts, examples and records so that they say they are of the run that `run.json` now tells."""
    seal(run)
    origin = origin_of(manifest_of(run))
    for path in sorted((run / "adversarial").iterdir()):
        rewrite(path, origin=origin)
    for part in parts_of(run):
        rewrite_part(part, about=origin)
    (run / "samples.parquet").write_bytes(pack_samples(samples_of(run), origin))
    for path in (run / "substitutes").glob("*.safetensors"):
        network = read_network(path.read_bytes(), torch.device("cpu"))
        assert network is not None
        path.write_bytes(pack_network(network, origin))
    for path in (run / "substitutes").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "origin": origin}))
    seal(run)


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
    return read_samples((run / "samples.parquet").read_bytes(), 100_000)[0]


def record(run: Path, where: str, column: str, change: Callable[[Any], Any]) -> None:
    """Forge one record of a rung, and every digest."""
    samples, origin = read_samples((run / "samples.parquet").read_bytes(), 100_000)
    row = samples.query(where).index[0]
    samples.loc[row, column] = change(samples.loc[row, column])
    (run / "samples.parquet").write_bytes(pack_samples(samples, origin))
    seal(run)


def everywhere(run: Path, where: str, column: str, change: Callable[[Any], Any], most: int = 1) -> None:
    """Forge records of a rung in the whole and in their parts, what is made of them, and every digest."""
    files = [run / "samples.parquet", *parts_of(run)]
    chosen = samples_of(run).query(where).head(most)
    assert len(chosen), where
    key = ["defense", "attack", "rung", "index"]
    wanted = pd.MultiIndex.from_frame(chosen[key])
    for path in files:
        samples, about = read_samples(path.read_bytes(), 100_000)
        rows = samples.index[pd.MultiIndex.from_frame(samples[key]).isin(wanted)]
        if not len(rows):
            continue
        samples.loc[rows, column] = [change(value) for value in samples.loc[rows, column]]
        if path.parent.name == "parts":
            rewrite_part(path, samples, about)
        else:
            path.write_bytes(pack_samples(samples, about))
    fit(run)


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
