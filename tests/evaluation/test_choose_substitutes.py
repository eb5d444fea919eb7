"""What may stand in for a defense: named, listed, or its own; and what is kept of a choice."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from advbench import Placement, identity
from advbench.defended.substitutes import LEARNED
from advbench.defenses import JPEG, Round
from advbench.errors import SpecError
from advbench.evaluation.choose_substitutes import (
    Options,
    _described,
    options_for,
    read_candidates,
    ready,
    with_exact,
)
from advbench.evaluation.search_substitutes import words_of
from advbench.results.records import Candidate


class Listing:
    """A defense with two substitutes."""

    substitutes: ClassVar[tuple[str, ...]] = ("identity", "mine")

    def __call__(self, x: Tensor) -> Tensor:
        return x.round()

    def mine(self, x: Tensor) -> Tensor:
        return x


class Own:
    """A defense that names its only substitute."""

    substitute = staticmethod(torch.tanh)

    def __call__(self, x: Tensor) -> Tensor:
        return x.round()


def links(*defenses: Any) -> tuple[Placement, ...]:
    return tuple(each if isinstance(each, Placement) else Placement(each) for each in defenses)


def names(options: Options) -> list[list[str]]:
    """Combinations, or an element's candidates, as tables call them."""
    if options.separate:
        return [[words_of((each,)) for each in candidates] for candidates in options.elements]
    return [words_of(each).split("+") for each in options.elements]


@pytest.mark.parametrize(
    ("defenses", "wanted", "expected"),
    [
        ([Listing()], [], [["identity", "mine"]]),
        ([torch.round], [], [["identity"]]),
        ([torch.round], ["search"], [["identity", "smooth", "learned"]]),
        ([Own(), Listing()], ["search"], [["tanh"], ["identity", "mine"]]),
        ([Placement(Listing(), substitute=torch.relu)], [], [["relu"]]),
        ([Listing()], ["mine", "identity", "mine"], [["mine"], ["identity"]]),
        ([Listing(), Round()], ["identity"], [["identity", "identity"]]),
        ([Listing(), Round()], ["mine+identity"], [["mine", "identity"]]),
    ],
)
def test_candidates_are_what_is_named_else_what_the_defense_says(
    defenses: list[Any], wanted: list[str], expected: list[list[str]]
) -> None:
    options = options_for("g", links(*defenses), wanted)
    assert names(options) == expected
    assert options.separate == (wanted in ([], ["search"]))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["search", "mine"], "give it alone, or name the substitutes"),
        (["mine+mine+mine"], "is for 3 elements of a chain, and 'g' has 2"),
        (["mine"], "has no substitute 'mine'"),
    ],
)
def test_names_that_do_not_fit_are_refused(wanted: list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        options_for("g", links(Listing(), Round()), wanted)


def test_a_sole_combination_needs_no_search() -> None:
    several = options_for("g", links(Listing()), [])
    assert several.sole is None
    alone = options_for("g", links(Own(), torch.round), [])
    assert alone.sole is not None
    assert words_of(alone.sole) == "tanh+identity"
    named = options_for("g", links(Listing()), ["mine"])
    assert named.sole is not None


@pytest.mark.parametrize("wanted", [[], ["mine+identity", "identity+identity"]])
def test_a_combination_is_found_by_the_name_that_tables_give_it(wanted: list[str]) -> None:
    options = options_for("g", links(Listing(), Round()), wanted)
    found = options.named("mine+identity")
    assert found is not None
    assert words_of(found) == "mine+identity"
    assert options.named("mine") is None
    assert options.named("other+identity") is None
    assert options.named("mine+identity+identity") is None


def test_an_element_that_says_nothing_is_tried_under_its_own_derivative_if_it_has_one() -> None:
    chain = links(torch.tanh, Listing(), torch.round)
    options = options_for("g", chain, [])
    found = with_exact(options, chain, lambda: [True, True, False])
    assert names(found) == [["exact", "identity"], ["identity", "mine"], ["identity"]]

    def never() -> list[bool]:
        raise AssertionError

    known = links(Listing(), Own())
    listed = options_for("g", known, [])
    assert with_exact(listed, known, never) is listed, "asked only where it matters"
    named = options_for("g", chain, ["identity"])
    assert with_exact(named, chain, never) is named


def test_ready_is_what_has_one_choice_and_needs_no_fitting() -> None:
    chains = {"own": links(Own()), "several": links(Listing()), "learned": links(torch.round)}
    options = {
        "own": options_for("own", chains["own"], []),
        "several": options_for("several", chains["several"], []),
        "learned": options_for("learned", chains["learned"], [LEARNED]),
    }
    found = ready(chains, options)
    assert list(found) == ["own"]
    assert found["own"][0].substitute is Own.substitute


KEPT = [
    {"defense": "g", "substitute": "a", "n": 4, "standing": 1, "rank": 1},
    {"defense": "g", "substitute": "b", "n": 4, "standing": 2, "rank": 0},
]


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (json.dumps({"candidates": KEPT}).encode(), tuple(Candidate(**each) for each in KEPT)),  # type: ignore[arg-type]  # as read
        (json.dumps({"candidates": KEPT[1:]}).encode(), None),
        (json.dumps({"candidates": [{**KEPT[0], "defense": "h"}]}).encode(), None),
        (json.dumps({"candidates": [{**KEPT[0], "more": 1}]}).encode(), None),
        (json.dumps({"candidates": [{**KEPT[0], "substitute": 3}]}).encode(), None),
        (json.dumps({"candidates": [{**KEPT[0], "standing": "1"}]}).encode(), None),
        (json.dumps({"candidates": [{**KEPT[0], "agreement": float("nan")}]}).encode(), None),
        (json.dumps({"candidates": [{**KEPT[0], "rank": [1]}, KEPT[0]]}).encode(), None),
        (json.dumps({"candidates": [{**KEPT[0], "defense": {}}]}).encode(), None),
        (json.dumps({"candidates": [3]}).encode(), None),
        (json.dumps({"candidates": []}).encode(), None),
        (b"{}", None),
        (b"[]", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (None, None),
    ],
)
def test_what_an_earlier_start_has_kept_is_whole_or_nothing(
    contents: bytes | None, expected: tuple[Candidate, ...] | None
) -> None:
    assert read_candidates(contents, "g") == expected


def test_a_defense_is_described_alike_in_every_process() -> None:
    @dataclass(frozen=True)
    class Holds:
        function: Any = identity

        def __call__(self, x: Tensor) -> Tensor:
            return x

    assert _described(JPEG(quality=30)) == "JPEG(quality=30)"
    assert " at 0x" not in _described(Holds())
    assert _described(torch.round) != _described(torch.floor)
