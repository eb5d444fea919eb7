"""What a gradient shows of itself, on rows made by hand; whole verdicts are in `test_verdict.py`."""

import numpy as np
import pandas as pd
import pytest

from advbench.results.advice import Setup
from advbench.results.gradient_grounds import FAITHFUL, cut_off, dead, flat_images, misled
from advbench.results.indicators import Indicator
from advbench.results.verdict import Case

N = 20


def case(flat: int = 0, **values: float) -> Case:
    """A row of `N` images that stand, so many of them without a gradient, with indicators of these values."""
    samples = pd.DataFrame(
        {"rung": "shattered", "robust": True, "flat_gradient": np.arange(N) < flat, "prediction": 0}
    )
    return Case(
        standing=pd.DataFrame({"clean": [True] * N, "shattered": [True] * N}),
        samples=samples,
        indicators=[
            Indicator(defense="g", attack="pgd", rung="shattered", name=name, part=value, whole=1.0)
            for name, value in values.items()
        ],
        doubts=(),
        setup=Setup(defense="g", attack="pgd", substitute="", gradient_free=""),
        chance=None,
    )


def sentences(grounds: object) -> list[str]:
    assert hasattr(grounds, "__iter__")
    return [sentence for sentence, _ in grounds]


@pytest.mark.parametrize(
    ("flat", "told"), [(0, []), (1, []), (2, ["2 of 20 images stand without a gradient"])]
)
def test_images_without_a_gradient_count_beyond_a_twentieth(flat: int, told: list[str]) -> None:
    row = case(flat)
    assert flat_images(row, "shattered") == flat
    found = sentences(cut_off(row, "shattered"))
    assert len(found) == len(told)
    assert all(sentence.startswith(start) for sentence, start in zip(found, told, strict=True))


@pytest.mark.parametrize(
    ("cosine", "start"),
    [
        (FAITHFUL + 0.1, ""),
        (FAITHFUL - 0.1, "the gradient foretells only a part of how the loss changes (cosine 0.50)"),
        (0.1, "the gradient does not foretell how the loss changes (cosine 0.10)"),
    ],
)
def test_a_gradient_misleads_where_it_foretells_little(cosine: float, start: str) -> None:
    assert sentences(misled(case(agreement=cosine), "shattered")) == ([start] if start else [])


def test_what_is_dead_is_cut_off_or_misled() -> None:
    row = case(5, agreement=0.1)
    both = [*sentences(cut_off(row, "shattered")), *sentences(misled(row, "shattered"))]
    assert sentences(dead(row, "shattered")) == both
    assert len(both) == 2
