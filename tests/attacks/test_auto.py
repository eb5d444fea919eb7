"""`auto`: one name for the strongest attack of what a model gives."""

from typing import Any

import pytest

from advbench.attacks import HardLabel, Tabu, strongest
from advbench.attacks.auto import auto
from advbench.errors import SpecError


def test_each_kind_of_model_has_its_attack() -> None:
    assert auto() == strongest()
    assert auto(steps=4, queries=50) == strongest(steps=4, queries=30)
    assert auto(gives="scores", queries=9) == Tabu(queries=9)
    assert auto(gives="labels", queries=9) == HardLabel(queries=9)


def test_another_kind_is_refused() -> None:
    strange: Any = "label"
    with pytest.raises(SpecError, match="there is no gives=label"):
        auto(gives=strange)
