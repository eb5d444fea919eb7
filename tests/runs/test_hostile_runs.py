"""Run folders from elsewhere: whatever is in them, nothing runs, and nobody sees a traceback."""

import hashlib
import json
import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advbench import cli
from advbench.runs.manifest import run_hash
from tests.hostile import payloads, refusal

WORDS = "attack --first 8 --steps 2 --defense round --bpda --save-adversarial --quiet --out"
Refused = Callable[[], str]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound run."""
    path = tmp_path_factory.mktemp("original") / "run"
    assert cli.main([*WORDS.split(), str(path)]) == 0
    return path


@pytest.fixture
def run(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to be forged, in the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(original, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that a payload creates if it runs."""
    return tmp_path / "it-ran"


@pytest.fixture
def refused(run: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """What `advbench verify` says of the forged run, all of it."""

    def refused() -> str:
        said = ""

        def err() -> str:
            nonlocal said
            out, err = capsys.readouterr()
            said = out + err
            return err

        refusal(["verify", "run"], err)
        return said

    return refused


def manifest_of(run: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((run / "run.json").read_text())
    return manifest


def forge(run: Path, manifest: dict[str, Any]) -> None:
    """Write a manifest whose hash and digests fit."""
    files = manifest.get("files")
    if isinstance(files, dict):
        there = [name for name in files if (run / name).is_file()]
        manifest["files"] = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in there}
    (run / "run.json").write_text(json.dumps({**manifest, "hash": run_hash(manifest)}))


FALSE_MANIFESTS = {
    "empty": b"",
    "no JSON": b"{'status': __import__('os').system('touch it-ran')}",
    "a list": b"[]",
    "nested deeply": b"[" * 100_000,
    "nested deeply in entries": b'{"settings":' * 50_000,
    "not UTF-8": b'{"status": "\xff\xfe"}',
    "large": b'{"status": "' + b"x" * (20 << 20) + b'"}',
    "a number of many digits": b'{"status": ' + b"9" * 100_000 + b"}",
    "without entries": b'{"status": "done"}',
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("contents", FALSE_MANIFESTS.values(), ids=FALSE_MANIFESTS.keys())
def test_a_false_manifest_is_refused(contents: bytes, run: Path, refused: Refused, mark: Path) -> None:
    (run / "run.json").write_bytes(contents)
    assert len(refused()) < 500
    assert not mark.exists()


@pytest.mark.parametrize("contents", FALSE_MANIFESTS.values(), ids=FALSE_MANIFESTS.keys())
def test_no_run_goes_on_from_a_false_manifest(
    contents: bytes, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "run.json").write_bytes(contents)
    assert "--overwrite" in refusal([*WORDS.split(), "run"], lambda: capsys.readouterr().err)
    assert (run / "run.json").read_bytes() == contents


def all_places(run: Path) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def walk(value: Any, path: tuple[str, ...]) -> None:
        found.append(path)
        if isinstance(value, dict):
            for key, each in value.items():
                walk(each, (*path, key))

    for key, each in manifest_of(run).items():
        walk(each, (key,))
    return found


NUMBERS = [-1, 0, 1 << 70, 1e308, float("inf"), float("nan"), True]
TEXTS = [
    "",
    "\x1b[2J",
    "x" * 9999,
    "../../../etc/passwd",
    "/dev/zero",
    "os:system",
    "evil.py:make",
    "none",
    "8/0",
]
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, [], {}, [[]], {"": {}}, {"none": []}, "round@" * 50, *NUMBERS, *TEXTS]
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=ODD, fits=st.booleans())
def test_any_entry_may_be_anything(
    data: st.DataObject, value: Any, fits: bool, original: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = data.draw(st.sampled_from(all_places(original)))
    manifest = group = manifest_of(original)
    for key in place[:-1]:
        group = group[key]
    group[place[-1]] = value
    (run / "run.json").write_text(json.dumps(manifest))
    if fits:
        forge(run, manifest)
    code = cli.main(["verify", "run"])
    out, err = capsys.readouterr()
    assert code in (0, 1, 2)
    assert "Traceback" not in err
    assert "a fault of advbench" not in err, (place, value)
    assert "\x1b" not in out + err
    assert (code == 0) == (err == "")


@pytest.mark.parametrize("model", ["evil.py:make", "evil:make", "os:system", "subprocess:run"])
def test_code_that_a_run_names_is_not_run(model: str, run: Path, refused: Refused, mark: Path) -> None:
    Path("evil.py").write_text(f"open({str(mark)!r}, 'w').close()\n\n\ndef make():\n    return None\n")
    manifest = manifest_of(run)
    manifest["settings"]["model"] = model
    forge(run, manifest)
    assert "no run folder can ask" in refused()
    assert not mark.exists()


@pytest.mark.parametrize("name", list(payloads(Path())))
def test_a_pickle_that_a_run_names_as_its_checkpoint_does_not_run(
    name: str, run: Path, refused: Refused, mark: Path
) -> None:
    torch.save({"x": payloads(mark)[name]}, "weights.pt")
    manifest = manifest_of(run)
    digest = hashlib.sha256(Path("weights.pt").read_bytes()).hexdigest()
    manifest["checkpoint"] = {"path": "weights.pt", "sha256": digest, "source": "state dict"}
    forge(run, manifest)
    assert "holds pickled code" in refused()
    assert not mark.exists()


@pytest.mark.parametrize("source", ["TorchScript", "torch.export"])
def test_a_program_that_a_run_names_as_its_checkpoint_does_not_run(
    source: str, run: Path, refused: Refused
) -> None:
    with warnings.catch_warnings(action="ignore"):  # deprecated, but the files are in circulation
        torch.jit.save(torch.jit.script(torch.nn.Flatten()), "weights.pt")
    manifest = manifest_of(run)
    digest = hashlib.sha256(Path("weights.pt").read_bytes()).hexdigest()
    manifest["checkpoint"] = {"path": "weights.pt", "sha256": digest, "source": source}
    forge(run, manifest)
    assert "--trust-program" in refused()


def parquet(forged: pyarrow.Table, **options: Any) -> bytes:
    file = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(forged, file, **options)
    return bytes(file.getvalue())


def honest(run: Path) -> pyarrow.Table:
    return pyarrow.parquet.read_table(run / "samples.parquet")


def with_extension(run: Path, mark: Path) -> pyarrow.Table:
    """A column of a type that old versions of pyarrow unpickle from the schema (CVE-2023-47248)."""
    payload = pickle.dumps(payloads(mark)["os.system"])
    metadata = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": payload}
    column = pyarrow.field("extra", pyarrow.int64(), metadata=metadata)
    forged = honest(run)
    return forged.append_column(column, pyarrow.array(np.zeros(len(forged), np.int64)))


def with_pandas_metadata(run: Path, _: Path) -> pyarrow.Table:
    """Notes to pandas about an index and types that are not there."""
    notes = {
        "index_columns": ["none"],
        "columns": [{"name": "index", "numpy_type": "object", "pandas_type": "x"}],
    }
    notes |= {"column_indexes": [{"name": "__import__('os')", "field_name": None}], "pandas_version": "99"}
    return honest(run).replace_schema_metadata({b"pandas": json.dumps(notes).encode(), b"advbench": b"[]"})


def without_a_column(run: Path, _: Path) -> pyarrow.Table:
    return honest(run).drop_columns(["robust"])


def with_words_for_numbers(run: Path, _: Path) -> pyarrow.Table:
    forged = honest(run)
    return forged.set_column(0, "index", pyarrow.array(["zero"] * len(forged)))


def with_gaps(run: Path, _: Path) -> pyarrow.Table:
    forged = honest(run)
    return forged.set_column(0, "index", pyarrow.array([None] * len(forged), pyarrow.int64()))


def with_lists(run: Path, _: Path) -> pyarrow.Table:
    forged = honest(run)
    return forged.set_column(0, "index", pyarrow.array([[1]] * len(forged)))


def with_a_column_twice(run: Path, _: Path) -> pyarrow.Table:
    forged = honest(run)
    return forged.append_column("index", forged["index"])


def with_other_images(run: Path, _: Path) -> pyarrow.Table:
    forged = honest(run)
    return forged.set_column(0, "index", pyarrow.array(np.arange(len(forged)) - 5))


def with_a_billion_records(run: Path, _: Path) -> pyarrow.Table:
    """Ten million, packed to a few thousand bytes; a reader that believed in them would take gigabytes."""
    zeros = np.zeros(10_000_000, np.int64)
    return pyarrow.table(dict.fromkeys(honest(run).column_names, zeros))


def with_a_word_of_gigabytes(run: Path, _: Path) -> pyarrow.Table:
    forged = honest(run)
    words = ["x" * (200 << 20), *[""] * (len(forged) - 1)]
    return forged.set_column(3, "defense", pyarrow.array(words))


FORGED_TABLES = [
    with_pandas_metadata,
    without_a_column,
    with_words_for_numbers,
    with_gaps,
    with_lists,
    with_a_column_twice,
    with_other_images,
    with_a_billion_records,
    with_a_word_of_gigabytes,
]


@pytest.mark.parametrize("make", FORGED_TABLES, ids=[each.__name__ for each in FORGED_TABLES])
def test_forged_records_are_refused(
    make: Callable[[Path, Path], pyarrow.Table], run: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "samples.parquet").write_bytes(parquet(make(run, mark)))
    forge(run, manifest_of(run))
    code = cli.main(["verify", "run"])
    out, err = capsys.readouterr()
    assert code == 1
    assert err.count("\n") == 1
    if make is with_pandas_metadata:  # nothing but the columns is looked at, and where they come from
        assert "ok     records: " in out
        assert "WRONG  origins: samples.parquet" in out
    else:
        assert "WRONG  records: " in out
    assert not mark.exists()


def test_a_pickled_type_in_a_table_is_not_unpickled(
    run: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "samples.parquet").write_bytes(parquet(with_extension(run, mark)))
    forge(run, manifest_of(run))
    assert cli.main(["verify", "run"]) in (0, 1)
    assert not mark.exists()


NO_TABLES = {
    "nothing": b"",
    "a text": b"index,label\n0,1\n",
    "magic alone": b"PAR1PAR1",
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("contents", NO_TABLES.values(), ids=NO_TABLES.keys())
def test_what_is_no_table_is_refused(contents: bytes, run: Path, refused: Refused) -> None:
    (run / "samples.parquet").write_bytes(contents)
    forge(run, manifest_of(run))
    assert "WRONG  records: samples.parquet: it cannot be read" in refused()


@pytest.mark.parametrize("make", FORGED_TABLES, ids=[each.__name__ for each in FORGED_TABLES])
def test_a_forged_part_is_done_again_or_does_not_count(
    make: Callable[[Path, Path], pyarrow.Table], run: Path, mark: Path, original: Path
) -> None:
    part = sorted((run / "parts").iterdir())[0]
    contents = parquet(make(run, mark))
    part.unlink()
    digest = hashlib.blake2b(contents, digest_size=8).hexdigest()
    part.with_name(f"0000-000000-{digest}.parquet").write_bytes(contents)
    assert cli.main([*WORDS.split(), "run"]) == 0
    if make in (
        with_other_images,
        with_pandas_metadata,
    ):  # nothing is wrong with its form; what it says is for verify to judge
        assert cli.main(["verify", "run"]) == 1
        return
    expected = pd.read_parquet(original / "samples.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(run / "samples.parquet"), expected, rtol=1e-4)
    assert cli.main(["verify", "run"]) == 0


EXAMPLES: dict[str, bytes] = {
    "nothing": b"",
    "a pickle": pickle.dumps({"x_adv": 1}),
    "a false header": (1 << 40).to_bytes(8, "little") + b"{}",
    "no metadata": safetensors.torch.save({"x_adv": torch.zeros(1, 1, 8, 8), "index": torch.zeros(1).long()}),
    "other tensors": safetensors.torch.save({"weights": torch.zeros(3)}, {"rung": "bpda"}),
    "another rung": safetensors.torch.save(
        {"x_adv": torch.zeros(1, 1, 8, 8), "index": torch.zeros(1).long()},
        {"defense": "none", "attack": "pgd", "rung": "no rung"},
    ),
    "another type": safetensors.torch.save(
        {"x_adv": torch.zeros(1, 1, 8, 8).half(), "index": torch.zeros(1).long()},
        {"defense": "none", "attack": "pgd", "rung": "bpda"},
    ),
    "fewer indices than images": safetensors.torch.save(
        {"x_adv": torch.zeros(2, 1, 8, 8), "index": torch.zeros(1).long()},
        {"defense": "none", "attack": "pgd", "rung": "bpda"},
    ),
}


@pytest.mark.parametrize("contents", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_forged_examples_are_refused(contents: bytes, run: Path, refused: Refused) -> None:
    digest = hashlib.blake2b(contents, digest_size=8).hexdigest()
    (run / "adversarial" / f"0009-000000-{digest}.safetensors").write_bytes(contents)
    assert "WRONG  adversarial/: 0009-000000-" in refused()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that never ends")
@pytest.mark.parametrize(
    "name",
    [
        "run.json",
        "samples.parquet",
        "table.csv",
        "adversarial/x.safetensors",
        "parts/x.parquet",
        "substitutes/learned-x.safetensors",
        "substitutes/search-x.json",
    ],
)
def test_a_file_that_never_ends_is_not_waited_for(name: str, run: Path, refused: Refused) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    refused()
