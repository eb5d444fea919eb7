"""What has fallen within a small ball has fallen within every larger one, and is carried there once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch

from advbench.jobs.carry_over import Carried, carried_from
from advbench.results.records import SAMPLE_TYPES, join_samples
from advbench.results.table import Cell
from advbench.runs.examples import Examples, pack_examples
from advbench.runs.samples import SAMPLES, pack_samples

PGD = Cell("round", "pgd", "shattered")
FREE = Cell("round", "square", "gradient_free")
CLEAN = Cell("round", "", "clean")


def records(cell: Cell, robust: Sequence[bool], first: int = 0) -> pd.DataFrame:
    """Records of as many images, each of which has cost something."""
    usual: dict[str, object] = dict.fromkeys(SAMPLE_TYPES, 0)
    rows = [
        {**usual, **cell._asdict(), "index": first + place, "robust": stands, "steps": 9, "queries": 18}
        for place, stands in enumerate(robust)
    ]
    return pd.DataFrame(rows).astype(dict(SAMPLE_TYPES))


def written(folder: Path, rungs: Mapping[Cell, Sequence[bool]]) -> Path:
    """A run's folder with records and with an example of every image that was attacked."""
    (folder / "adversarial").mkdir(parents=True)
    samples = join_samples([records(cell, robust) for cell, robust in rungs.items()])
    (folder / SAMPLES).write_bytes(pack_samples(samples, {}))
    for number, (cell, robust) in enumerate(rungs.items()):
        if cell is not CLEAN:
            x_adv = torch.arange(float(len(robust))).view(-1, 1, 1, 1)
            examples = Examples(cell, torch.arange(len(robust)).flip(0), x_adv)
            path = folder / f"adversarial/{number:04}.safetensors"
            path.write_bytes(pack_examples(examples, {}))
    return folder


@pytest.fixture
def carried(tmp_path: Path) -> Carried:
    """Two radii of one curve: image 3 is wrong when clean, and 1 falls to PGD, then 2 beside it."""
    same = {CLEAN: [True, True, True, False], FREE: [True, True, True, False]}
    small = written(tmp_path / "a", {**same, PGD: [True, False, True, False]})
    large = written(tmp_path / "b", {**same, PGD: [True, False, False, False]})
    return carried_from([small, large])


def keys(samples: pd.DataFrame) -> list[tuple[int, str]]:
    return list(zip(samples["index"], samples["rung"], strict=True))


def test_an_image_is_carried_from_where_it_fell_first_at_no_cost(carried: Carried) -> None:
    assert [path.name for path in carried.felled] == ["a", "b"]
    first, second = carried.felled.values()
    assert (keys(first), keys(second)) == ([(1, "shattered")], [(2, "shattered")])
    for samples in (first, second):
        assert samples[["steps", "queries"]].to_numpy().sum() == 0
        assert not samples["robust"].any()
    assert carried_from([]).felled == {}


def test_what_is_known_already_is_not_told_again(carried: Carried) -> None:
    nothing = join_samples([])
    told = list(carried.parts(nothing, with_examples=False))
    assert [(keys(samples), examples) for samples, examples in told] == [
        ([(1, "shattered")], None),
        ([(2, "shattered")], None),
    ]
    (last,) = carried.parts(records(PGD, [False], first=1), with_examples=False)
    assert keys(last[0]) == [(2, "shattered")]
    assert not list(carried.parts(records(PGD, [False, False], first=1), with_examples=False))
    other = records(PGD._replace(attack="apgd"), [False, False], first=1)
    assert len(list(carried.parts(other, with_examples=False))) == 2, "another attack's records say nothing"


def test_records_come_with_the_examples_that_belong_to_them(carried: Carried) -> None:
    parts = list(carried.parts(join_samples([]), with_examples=True))
    assert len(parts) == 2
    for (samples, examples), index in zip(parts, (1, 2), strict=True):
        assert examples is not None
        assert examples.cell == PGD
        assert samples["index"].tolist() == examples.indices.tolist() == [index]
        assert examples.x_adv.flatten().tolist() == [3.0 - index]
        assert list(samples.columns) == list(SAMPLE_TYPES)


def test_where_examples_are_kept_what_has_none_is_attacked_again(carried: Carried) -> None:
    for file in next(iter(carried.felled)).glob("adversarial/*"):
        file.unlink()
    parts = list(carried.parts(join_samples([]), with_examples=True))
    assert [keys(samples) for samples, _ in parts] == [[(2, "shattered")]]
