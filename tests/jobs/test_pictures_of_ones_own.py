"""The same digits in every form that pictures are kept in give the same records, by the command."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from advbench import cli
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from tests.hostile import refusal

WORDS = "attack --model digits-cnn --eps 0.15 --steps 2 --quiet"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """The line that refuses a command, nothing written."""

    def refused(words: str) -> str:
        line = refusal(words.split(), lambda: capsys.readouterr().err)
        assert not Path("runs").exists()
        return line

    return refused


def write_digits(count: int = 30) -> None:
    """The first digits as pictures in `list.csv`, `shard.tar`, `table.parquet`, and in `x.npy`."""
    digits = load_dataset("digits", Place(root=Path(), split="test"))
    labels = digits.labels[:count].tolist()
    arrays = [(digits[index][0][0] * 255).round().byte().numpy() for index in range(count)]
    files = []
    for array in arrays:
        Image.fromarray(array).save(file := io.BytesIO(), "PNG")
        files.append(file.getvalue())
    Path("pictures").mkdir()
    with Path("list.csv").open("w") as listed, tarfile.open("shard.tar", "w") as shard:
        listed.write("path,label\n")
        for index, (contents, label) in enumerate(zip(files, labels, strict=True)):
            (path := Path(f"pictures/{index:03}.png")).write_bytes(contents)
            listed.write(f"{path},{label}\n")
            for name, part in ((f"{index:03}.cls", b"%d" % label), (path.name, contents)):
                member = tarfile.TarInfo(name)
                member.size = len(part)
                shard.addfile(member, io.BytesIO(part))
    pq.write_table(pa.table({"image": files, "label": labels}), "table.parquet", row_group_size=7)
    np.save("x.npy", np.stack(arrays))
    np.save("y.npy", np.array(labels))


def records(dataset: str) -> pd.DataFrame:
    shutil.rmtree("run", ignore_errors=True)
    assert cli.main([*f"{WORDS} --dataset {dataset} --out run --save-adversarial".split()]) == 0
    assert cli.main(["verify", "run", "--quiet"]) == 0
    return pd.read_parquet("run/samples.parquet")


def test_every_form_gives_the_same_records() -> None:
    write_digits()
    arrays = records("npy:x.npy")
    first, *others = [
        records(words) for words in ("csv:list.csv", "webdataset:shard.tar", "hf:table.parquet")
    ]
    assert len(first) > 0
    for other in others:
        pd.testing.assert_frame_equal(first, other)
    pd.testing.assert_frame_equal(arrays, first, rtol=1e-4, atol=1e-6)  # pictures are multiplied by 1/255
    heading: dict[str, Any] = json.loads(Path("run/run.json").read_text())
    assert (heading["settings"]["dataset"], heading["settings"]["channels"]) == ("hf", 1)
    assert heading["execution"]["data_root"] == "table.parquet"
    assert "image_column" not in heading["settings"]


def test_chosen_columns_are_kept_with_the_run_and_found_by_verify(capsys: pytest.CaptureFixture[str]) -> None:
    write_digits()
    table = pd.read_csv("list.csv").rename(columns={"label": "digit"}).assign(label=0)
    table.to_csv("list.csv", index=False)
    wrong = records("csv:list.csv --label-column label --channels 1")
    right = records("csv:list.csv --label-column digit --channels 1")
    assert wrong["label"].max() == 0 < right["label"].max()
    assert json.loads(Path("run/run.json").read_text())["settings"]["label_column"] == "digit"
    table.to_csv("list.csv", index=False, columns=["path", "label"])
    assert cli.main(["verify", "run"]) != 0
    assert "there is no column 'digit'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("csv:none.csv", "there is no such folder; give --data-root."),
        ("csv:list.csv --data-root here", "--dataset csv:list.csv and --data-root here name two places"),
        ("cvs:list.csv", "there is no dataset called 'cvs'. Did you mean 'csv'"),
        ("csv:list.csv --label-column digit", "there is no column 'digit'. "),
        ("csv:list.csv --download", "data set 'csv' cannot be downloaded; leave --download away."),
        ("npy:x.npy --label-column y", "it has no columns; leave --image-column and --label-column away."),
        ("webdataset:shard.tar --image-column png", "it has no columns; leave"),
        ("imagefolder:pictures --label-column y", "it has no columns; leave"),
        ("webdataset:pictures", "there is no file in it whose name ends in .tar."),
        ("hf:pictures", "there is no file in it whose name ends in .parquet or .arrow."),
        ("npz:x.npy", "x.npy is damaged, no .npz archive, or holds pickled objects."),
        ("npy:x.npy --image-size 8", "its images are used as they are; leave --image-size away."),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_line(
    words: str, sentence: str, refused: Callable[[str], str]
) -> None:
    write_digits(3)
    assert sentence in refused(f"{WORDS} --dataset {words}")


def test_a_sweep_may_name_the_place_too() -> None:
    write_digits()
    Path("sweep.toml").write_text(
        'defenses = ["none", "round"]\n'
        '[defaults]\ndataset = "csv:list.csv"\nmodel = "digits-cnn"\neps = 0.15\nsteps = 2\n'
    )
    assert cli.main(["sweep", "sweep.toml", "--out", "out", "--quiet"]) == 0
    assert set(pd.read_csv("out/table.csv")["dataset"]) == {"csv"}
