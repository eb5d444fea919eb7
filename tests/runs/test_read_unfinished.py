"""A run under way is as far as its parts tell: rates of rungs that are done, counts of the others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from advbench.errors import RunFolderError
from advbench.files import short_digest
from advbench.results.records import SAMPLE_TYPES, SoFar
from advbench.runs.read_unfinished import UNJUDGED, GrowingRun, rows_so_far
from advbench.runs.samples import pack_samples

ORDINARY: dict[str, Any] = {"str": "", "int64": 0, "bool": True, "float64": np.nan}
T, F = True, False


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run of four images that has just begun."""
    settings = {
        "model": "net",
        "dataset": "digits",
        "norm": "linf",
        "eps": "0.1",
        "attacks": {"pgd": {}},
        "defenses": {"round": {}},
        "gradient_free": {},
        "rungs": ["bpda", "worst"],
        "substitute": ["identity"],
    }
    (tmp_path / "parts").mkdir()
    (tmp_path / "run.json").write_text(
        json.dumps({"status": "running", "settings": settings, "data": {"n": 4}})
    )
    return tmp_path


def add_part(
    run: Path,
    rung: str,
    robust: dict[int, bool],
    *,
    defense: str = "round",
    wrong: int = 3,
    share: dict[int, float] | None = None,
) -> Path:
    """Write a part with whether these images stand; image `wrong` is wrong when it is clean."""
    known = {name: ORDINARY[kind] for name, kind in SAMPLE_TYPES.items()}
    frame = pd.DataFrame({**known, "index": list(robust), "robust": list(robust.values())}).assign(
        rung=rung, defense=defense, attack="pgd", fooled_share=lambda x: 1.0 - x["robust"]
    )
    frame["fooled_share"] = frame["index"].map(share or {}).fillna(frame["fooled_share"])
    frame["clean_prediction"] = (frame["index"] == wrong).astype("int64")
    contents = pack_samples(frame.astype(dict(SAMPLE_TYPES)), {})
    number = len(list((run / "parts").iterdir()))
    path = run / "parts" / f"0000-{number:06}-{short_digest(contents)}.parquet"
    path.write_bytes(contents)
    return path


def test_a_run_that_has_just_begun_has_every_rung_to_come(run: Path) -> None:
    none, defended = rows_so_far(GrowingRun(run).read())
    assert (none.defense, defended.defense, defended.substitute) == ("none", "round", "identity")
    assert (none.rates, defended.rates) == ({}, {})
    assert list(none.pending) == ["clean", "shattered", "worst"]
    assert list(defended.pending) == ["clean", "shattered", "bpda", "worst"]
    assert set(defended.pending.values()) == {SoFar(0, 0)}
    assert (defended.n, defended.verdict) == (4, "")


def test_a_rung_has_no_rate_until_all_its_images_are_done(run: Path) -> None:
    growing = GrowingRun(run)
    add_part(run, "shattered", {0: T, 1: F})
    add_part(run, "bpda", {0: F})
    _, row = rows_so_far(growing.read())
    assert row.pending == {
        "clean": SoFar(2, 2), "shattered": SoFar(2, 1), "bpda": SoFar(1, 0), "worst": SoFar(1, 0),
    }  # fmt: skip
    assert row.rates == {}
    add_part(run, "shattered", {2: T, 3: F})
    _, row = rows_so_far(growing.read())
    assert {rung: (each.count, each.n) for rung, each in row.rates.items()} == {
        "clean": (3, 4),
        "shattered": (2, 4),
    }
    assert list(row.pending) == ["bpda", "worst"]
    add_part(run, "bpda", {1: F, 2: T, 3: F})
    _, row = rows_so_far(growing.read())
    assert {rung: each.count for rung, each in row.rates.items()} == {
        "clean": 3,
        "shattered": 2,
        "bpda": 1,
        "worst": 1,
    }
    assert (row.pending, row.verdict) == ({}, UNJUDGED)
    assert row.pairs["bpda"].only_first == 1


def test_records_that_are_there_twice_count_once_and_those_of_other_defenses_not_at_all(run: Path) -> None:
    for _ in range(2):
        add_part(run, "shattered", {0: T, 1: F})
    add_part(run, "shattered", {0: T}, defense="jpeg")
    records = GrowingRun(run).read()
    assert len(records.samples) == 2
    assert rows_so_far(records)[1].pending["shattered"] == SoFar(2, 1)


def test_a_part_is_read_once_and_one_that_is_damaged_or_gone_does_not_count(run: Path) -> None:
    first, second = add_part(run, "shattered", {0: T}), add_part(run, "shattered", {1: T})
    growing = GrowingRun(run)
    growing.read()
    before = dict(growing.parts)
    second.unlink()
    growing.read()
    assert list(growing.parts) == [first.name]
    assert growing.parts[first.name] is before[first.name]
    first.write_bytes(first.read_bytes() + b"x")
    assert len(GrowingRun(run).read().samples) == 0


@pytest.mark.parametrize(
    "settings", [None, {}, {"model": "net"}, {"rungs": "bpda"}, {"attacks": ["pgd"]}, {"eps": 0.1}]
)
def test_a_manifest_that_does_not_say_what_is_run_is_refused(run: Path, settings: Any) -> None:
    said = json.loads((run / "run.json").read_text())
    if settings:
        settings = {**said["settings"], **settings} if "model" not in settings else settings
    (run / "run.json").write_text(json.dumps({**said, "settings": settings}))
    with pytest.raises(RunFolderError, match=r"run\.json: settings"):
        GrowingRun(run).read()


def test_means_over_draws_are_told_where_the_draws_of_a_defense_differ(run: Path) -> None:
    values = json.loads((run / "run.json").read_text())
    values["settings"] |= {"judge": "mean", "judge_draws": 5}
    (run / "run.json").write_text(json.dumps(values))
    add_part(run, "shattered", {0: T, 1: T, 2: F, 3: F}, share={0: 0.4})
    none, defended = rows_so_far(GrowingRun(run).read())
    assert (none.judge, defended.judge) == ("", "mean")
    over = defended.rates["shattered"].over_draws
    assert over is not None
    assert over.mean == pytest.approx((0.6 + 1.0) / 4)
    assert over.unbroken == 1


def test_without_a_rule_of_its_own_a_run_under_way_tells_none(run: Path) -> None:
    add_part(run, "shattered", {0: T, 1: T, 2: F, 3: F}, share={0: 0.4})
    _, defended = rows_so_far(GrowingRun(run).read())
    assert defended.judge == ""
    assert defended.rates["shattered"].over_draws is None
