"""Attacks that are made of others: which legs they have, and what their settings do to each."""

import pytest

from advbench.attacks import APGD, FAB, Square, autoattack, strongest
from advbench.attacks.relay import WarmLeg


def test_autoattack_is_the_standard_protocol() -> None:
    legs = autoattack().legs
    assert {name: leg.attack for name, leg in legs.items()} == {
        "apgd-ce": APGD(steps=100),
        "apgd-t": APGD(steps=100, loss="dlr", targets=9),
        "fab-t": FAB(steps=100, targets=9, early_stop=True),
        "square": Square(queries=5000),
    }
    assert [leg.attack for leg in autoattack(version="rand").legs.values()] == [
        APGD(steps=100),
        APGD(steps=100, loss="dlr"),
    ]


def test_settings_of_autoattack_reach_every_leg_that_has_them() -> None:
    legs = autoattack(steps=7, queries=11).legs
    attacks = [leg.attack for leg in legs.values()]
    assert [each.steps for each in attacks if isinstance(each, APGD | FAB)] == [7, 7, 7]
    assert [each.queries for each in attacks if isinstance(each, Square)] == [11]
    assert not any(isinstance(leg, WarmLeg) for leg in legs.values()), "each begins at the image"


@pytest.mark.parametrize("least", [1, 2, 3])
def test_the_strongest_attack_can_be_made_as_short_as_wanted(least: int) -> None:
    legs = strongest(steps=least, queries=least).legs
    assert all(leg.within == 0.5 for name, leg in legs.items() if name.endswith(("-near", "-again")))
    square, near = legs["square"].attack, legs["square-near"].attack
    assert isinstance(square, Square)
    assert isinstance(near, Square)
    assert (square.queries, near.queries) == (1, max(1, least // 2)), "a tenth and a half, but one at least"


def test_by_default_doubtful_images_get_autoattacks_own_numbers() -> None:
    leg = strongest().legs["autoattack"]
    assert (leg.attack, leg.doubted) == (autoattack(), True)
