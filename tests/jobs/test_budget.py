"""What a run from elsewhere may ask a verification to compute."""

import pytest

from advbench.errors import RunFolderError
from advbench.jobs.budget import check_attack_budget, check_budget

ENDLESS = {
    "a billion steps": (("tv-min:steps=1000000000",), 1),
    "many steps under many draws": (("tv-min:steps=1000",), 2000),
    "steps of a chain multiply": (("tv-min:steps=1000+tv-min:steps=1000",), 1),
    "steps of more digits than a number has": ((f"tv-min:steps={'9' * 500}",), 1),
    "many draws": ((), 10**9),
    "a window beyond all": (("gaussian:sigma=1e300",), 1),
    "a size that is no number": (("resize-pad:ratio=nan",), 1),
}


@pytest.mark.parametrize(("defenses", "draws"), ENDLESS.values(), ids=ENDLESS.keys())
def test_what_would_not_end_is_refused(defenses: tuple[str, ...], draws: int) -> None:
    with pytest.raises(RunFolderError, match=r"Where the run is yours, add --no-limit\.$"):
        check_budget(("round", *defenses), draws)


def test_what_ships_is_within_the_budget() -> None:
    check_budget(
        ("purify:steps=1000", "tv-min", "nlm:search=21,patch=7", "jpeg+round@layer2", "quilt:bank=x.npy"), 21
    )
    check_budget(("resize-pad:ratio=331/299", "noise:sigma=8/255"), 200)


@pytest.mark.parametrize(
    "attack", ["pgd:steps=1000000000", "apgd:steps=100000,restarts=100000", "square:queries=99999999"]
)
def test_attacks_that_would_not_end_are_refused(attack: str) -> None:
    with pytest.raises(RunFolderError, match="steps for an image"):
        check_attack_budget([attack], ["round"], 1)


def test_attacks_as_papers_have_them_are_within_the_budget() -> None:
    check_attack_budget(["apgd:steps=100,restarts=5", "square:queries=5000"], ["purify:steps=20"], 20)
