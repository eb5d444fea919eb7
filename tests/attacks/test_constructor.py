"""What a class of another library takes, told from its constructor; what words cannot say is refused."""

from typing import Any, Literal

import pytest

from advbench import Attack
from advbench.attacks.constructor import OWNED, defaults_of, factory_of
from advbench.errors import SpecError
from advbench.names.registry import parameters


class Typed:
    """A constructor whose annotations say what it takes."""

    def __init__(  # type: ignore[no-untyped-def]  # as libraries write
        self,
        model: "OnlyForTypeCheckers",  # type: ignore[name-defined]  # noqa: F821  # as in ART
        steps: int = 3,
        loss: Literal["ce", "dlr"] = "ce",
        bound: float | None = None,
        table: dict[str, int] | None = None,
        *more,
        **others,
    ) -> None: ...


class Untyped:
    """A constructor without annotations, known by its defaults alone."""

    def __init__(  # type: ignore[no-untyped-def]  # as in torchattacks
        self, model, kappa, eps=0.1, steps=3, early=True, loss="ce", seed=None, sizes=(1, 2)
    ) -> None: ...


def factory(kind: type) -> tuple[Any, list[dict[str, Any]]]:
    """A factory of a class, and what it was asked to make."""
    made: list[dict[str, Any]] = []

    def make(settings: dict[str, Any]) -> Attack:
        made.append(settings)
        return lambda *_: None  # type: ignore[return-value]  # nobody calls it

    return factory_of("library:Kind", kind, make), made


def test_annotations_say_what_a_parameter_takes_and_the_model_is_none() -> None:
    known = parameters(factory(Typed)[0])
    assert {name: each.annotation for name, each in known.items()} == {
        "steps": int,
        "loss": Literal["ce", "dlr"],
        "bound": float,
        "table": str,
    }


def test_without_annotations_defaults_say_it_and_numbers_may_be_whole_or_not() -> None:
    known = parameters(factory(Untyped)[0])
    assert {name: each.annotation for name, each in known.items()} == {
        "kappa": int | float | str,
        "eps": float,
        "steps": int | float,
        "early": bool,
        "loss": str,
        "seed": int | float | str,
        "sizes": str,
    }


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Typed, {"table": "a"}, "library:Kind: table cannot be given in words."),
        (Untyped, {"kappa": 1, "sizes": "3"}, "library:Kind: sizes cannot be given in words."),
        (Untyped, {"kappa": 1, "eps": 0.5}, f"library:Kind takes no eps: {OWNED['eps']}."),
        (Untyped, {"steps": 4}, "library:Kind needs kappa: write library:Kind:kappa=VALUE."),
    ],
)
def test_what_cannot_be_given_or_is_missing_is_refused_in_a_sentence(
    kind: type, settings: dict[str, Any], message: str
) -> None:
    make, made = factory(kind)
    with pytest.raises(SpecError) as refused:
        make(**settings)
    assert str(refused.value) == message
    assert made == []


def test_an_attack_is_made_of_what_was_given_alone() -> None:
    make, made = factory(Untyped)
    make(kappa=2.0, steps=7)
    assert made == [{"kappa": 2.0, "steps": 7}]
    assert defaults_of(Untyped) == {
        "eps": 0.1,
        "steps": 3,
        "early": True,
        "loss": "ce",
        "seed": None,
        "sizes": (1, 2),
    }


def test_a_class_without_a_constructor_of_its_own_takes_nothing() -> None:
    class Bare:
        pass

    make, made = factory(Bare)
    make()
    assert made == [{}]
    assert parameters(make) == {}
