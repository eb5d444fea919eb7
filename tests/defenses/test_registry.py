"""The table of defenses: each is made by its name alone, or says which parameter it needs."""

import inspect
from typing import Any

import pytest

import advbench.defenses
from advbench.defenses.registry import DEFENSES
from advbench.errors import SpecError
from advbench.names.registry import parameters


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defense_is_exported_by_its_class_and_made_by_its_name_alone_but_for_quilt(name: str) -> None:
    entry = DEFENSES[name]
    factory: Any = entry.load()
    assert getattr(advbench.defenses, factory.__name__) is factory
    assert entry.summary
    assert entry.source
    if name == "quilt":
        with pytest.raises(SpecError, match="quilt needs a bank of clean patches"):
            factory()
        return
    made = factory()
    general = {"identity", "exact", "smooth", "learned", "finite-difference", "skip"}
    own = set(made.substitutes) - general
    assert all(callable(getattr(made, each.partition(":")[0].replace("-", "_"))) for each in own)
    assert made == factory(), "settings alone make a defense"


@pytest.mark.parametrize("name", DEFENSES)
def test_every_parameter_has_a_default_and_a_type_that_words_can_be_read_as(name: str) -> None:
    known = parameters(DEFENSES[name].load())
    assert all(each.annotation is not Any for each in known.values())
    assert all(each.default is not inspect.Parameter.empty for each in known.values())
