"""What an attack may say of itself, and what it need not tell."""

from typing import Any, ClassVar

import pytest

from advbench.attacks import PGD, Relay, autoattack
from advbench.attacks.of_foolbox import FoolboxAttack
from advbench.attacks.relay import Leg
from advbench.threat.attack import is_chunked, tolerates_bfloat16


class Says:
    """An attack by its word alone."""

    chunked: ClassVar[Any] = True
    bfloat16: ClassVar[Any] = True


class Mumbles:
    """Words that are neither True nor False."""

    chunked: ClassVar[Any] = "yes"
    bfloat16: ClassVar[Any] = 1


class Silent:
    """An attack that says nothing."""


@pytest.mark.parametrize(("attack", "expected"), [(Says(), True), (Mumbles(), False), (Silent(), False)])
def test_only_true_is_taken_for_a_promise(attack: Any, expected: bool) -> None:
    assert is_chunked(attack) is expected
    assert tolerates_bfloat16(attack) is expected


def test_a_relay_promises_what_all_of_its_attacks_do() -> None:
    ours, other = Leg(attack=PGD()), Leg(attack=FoolboxAttack(name="LinfPGD", settings={}, version="3"))
    assert is_chunked(Relay(legs={"a": ours, "b": ours}))
    assert not is_chunked(Relay(legs={"a": ours, "b": other}))
    assert is_chunked(autoattack())
