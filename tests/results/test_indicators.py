"""An indicator is a share of what it looked at: shares add up, and a forged one is refused."""

import math

import pytest

from advbench.errors import RunFolderError
from advbench.results.indicators import Indicator, added
from advbench.runs.typed_json import Where, read_as


def test_shares_of_the_images_add_up() -> None:
    one = Indicator(defense="none", attack="", rung="shattered", name="noise", part=1, whole=4)
    other = Indicator(defense="none", attack="", rung="shattered", name="noise", part=2, whole=8)
    third = Indicator(defense="none", attack="", rung="bpda", name="noise", part=5, whole=5)
    both, alone = added([one, third, other])
    assert (both.part, both.whole, both.value) == (3, 12, 0.25)
    assert alone == third


def test_nothing_to_measure_trips_nothing() -> None:
    empty = Indicator(defense="none", attack="", rung="shattered", name="noise", part=0, whole=0)
    assert math.isnan(empty.value)
    assert not empty.tripped


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"rung": "other"}, {"part": "1"}, {"more": 1}, {"whole": None}, {"defense": 3}],
)
def test_a_forged_indicator_is_refused(change: dict[str, object]) -> None:
    said: dict[str, object] = {
        "defense": "none",
        "attack": "",
        "rung": "bpda",
        "name": "noise",
        "part": 1.0,
        "whole": 2.0,
    }
    where = Where("run.json", ("heading", "indicators"))
    assert read_as(Indicator, said, where).value == 0.5
    with pytest.raises(RunFolderError, match=r"^run.json: heading.indicators"):
        read_as(Indicator, {**said, **change}, where)
