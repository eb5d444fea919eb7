"""A submission to RobustBench: its keys, its form, and what no board takes."""

import json
from dataclasses import replace
from typing import Any

import pytest

from advbench.errors import InputError
from advbench.reports.outcomes import Outcome
from advbench.reports.robustbench import KEYS, submission
from advbench.results.records import Rate, Spread
from tests.reports.outcomes import outcomes

NAME = "Rice2020Overfitting"
BOARDS = {"cifar10": 200}
INFO = f"model_info/cifar10/Linf/{NAME}.json"


def outcome(**changes: Any) -> Outcome:
    (trained,) = outcomes("trained")
    return replace(trained, row=replace(trained.row, **{"dataset": "cifar10", **changes}))


def test_the_json_has_the_keys_of_model_info_and_texts_in_per_cent() -> None:
    info = json.loads(submission(outcome(), NAME, BOARDS).files[INFO])
    assert tuple(info) == KEYS
    assert (info["dataset"], info["eps"], info["clean_acc"], info["external"]) == (
        "cifar10",
        "8/255",
        "95.00",
        "40.00",
    )
    assert info["autoattack_acc"] is None


def test_autoattacks_number_is_called_so() -> None:
    info = json.loads(submission(outcome(attack="autoattack"), NAME, BOARDS).files[INFO])
    assert (info["autoattack_acc"], info["external"]) == ("40.00", None)


def test_the_form_has_every_field_of_the_boards_form() -> None:
    form = submission(outcome(), NAME, BOARDS).files[f"{NAME}.md"]
    for field in (
        "Model identifier(s):** Rice2020Overfitting",
        "Leaderboard(s):** cifar10, Linf, eps = 8/255",
        "Link to adversarial images:** <upload Rice2020Overfitting.pt",
        "Robust accuracy:** 40.00 % (80 of 200)",
        "Author(s)",
        "Description of the method used:** advbench, defense trained",
    ):
        assert f"+ **{field}" in form


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "digits"}, "boards that fit are cifar10; the run's images are digits"),
        ({"norm": "l1"}, "threats are linf, l2; the run's is l1"),
        ({"n": 100}, "whole test set of 200 images; the run has 100"),
        ({"rates": {"clean": Rate(190, 200)}}, "attack with --ladder"),
        ({"judge": "any:10"}, "takes no random defense"),
        (
            {"rates": {"clean": Rate(9, 10, Spread(0.9, 0.1)), "worst": Rate(8, 10)}},
            "takes no random defense",
        ),
    ],
)
def test_what_no_board_takes_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        submission(outcome(**changes), NAME, BOARDS)
