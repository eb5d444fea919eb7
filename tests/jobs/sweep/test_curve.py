"""Accuracy against the radius: what falls at one is not attacked again at a larger one."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from advbench import cli
from advbench.runs.manifest import read_manifest

WORDS = "attack --defense round --bpda --first 30 --steps 5 --calibration 8"
RADII = ["0.05", "0.1", "0.3", "inf"]


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("curve")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        said = "--rungs static --eps inf,0.1,0.05,0.3 --save-adversarial --out c"
        assert cli.main([*WORDS.split(), *said.split()]) == 0
        yield home / "c"


def runs(curve: Path) -> dict[str, Path]:
    found = {read_manifest(each)["settings"]["eps"]: each for each in (curve / "runs").iterdir()}
    return {eps: found[eps] for eps in RADII}


def samples(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "samples.parquet")


def test_the_rows_are_in_the_order_of_the_radii_and_never_rise(curve: Path) -> None:
    table = pd.read_csv(curve / "table.csv", dtype={"eps": str})
    assert table["eps"].tolist() == [eps for eps in RADII for _ in ("none", "round")]
    for _, rows in table.groupby("defense"):
        for rung in ("static", "shattered", "bpda"):
            counts = rows[f"{rung}_count"].dropna()
            assert counts.is_monotonic_decreasing
    assert table["shattered_count"].iloc[-2] == 0, "without bounds everything falls"


def test_what_has_fallen_costs_nothing_more(curve: Path) -> None:
    before: set[tuple[object, ...]] = set()
    for run in runs(curve).values():
        found = samples(run).query("rung == 'shattered' or rung == 'bpda'")
        keys = list(map(tuple, found[["index", "defense", "rung"]].to_numpy().tolist()))
        carried = pd.Series([key in before for key in keys], index=found.index)
        assert (found[carried]["queries"] == 0).all()
        assert not found[carried]["robust"].any()
        attacked = found[~carried & (found["distance"] > 0)]
        assert (attacked["queries"] > 0).all()
        before |= {key for key, stood in zip(keys, found["robust"], strict=True) if not stood}
    assert before


def test_a_carried_example_is_the_one_that_fell_first(curve: Path) -> None:
    first, last = (samples(runs(curve)[eps]).query("rung == 'bpda'") for eps in ("0.05", "inf"))
    fallen = first[~first["robust"] & (first["queries"] > 0)].set_index("index")
    assert len(fallen)
    carried = last.set_index("index").loc[fallen.index]
    assert carried["distance"].equals(fallen["distance"])
    assert carried["prediction"].equals(fallen["prediction"])


@pytest.mark.parametrize("eps", RADII)
def test_every_point_of_the_curve_verifies(curve: Path, eps: str) -> None:
    assert cli.main(["verify", str(runs(curve)[eps])]) == 0


def test_a_run_says_what_it_was_told_by_others(curve: Path) -> None:
    named = [read_manifest(run)["settings"]["carried_from"] for run in runs(curve).values()]
    folders = [run.name for run in runs(curve).values()]
    assert named == [folders[:number] for number in range(len(RADII))]


def test_a_curve_goes_on_where_it_was_stopped(curve: Path) -> None:
    table = (curve / "table.csv").read_text()
    last = list(runs(curve).values())[-1]
    (last / "samples.parquet").unlink()
    for part in sorted((last / "parts").iterdir())[::2]:
        part.unlink()
    said = "--rungs static --eps inf,0.1,0.05,0.3 --save-adversarial --out c"
    assert cli.main([*WORDS.split(), *said.split()]) == 0
    again = pd.read_csv(curve / "table.csv")
    numbers = [name for name in again.columns if name.endswith("_count")]
    pd.testing.assert_frame_equal(again[numbers], pd.read_csv(StringIO(table))[numbers])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--eps 0.1,0.2,0.1", "--eps names a radius twice: 0.1,0.2,0.1."),
        ("--eps 0.1,huge", "eps"),
        ("--eps 0.1,8", "Did you mean 8/255?"),
        ("--eps 0.1,0.2 --fail-on masked", "--fail-on judges one radius"),
        ("--eps 0.1,0.2 --min-robust 0.4", "--min-robust judges one radius"),
        ("--eps 0.1,0.2 --defense rond", "there is no defense called 'rond'"),
    ],
)
def test_wrong_radii_are_told_in_a_line(
    words: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*WORDS.split(), *words.split(), "--out", "c"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not Path("c").exists()
