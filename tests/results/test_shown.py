"""Counts of what a model was shown add up, and forged ones count as nothing."""

import pytest

from advbench.results.shown import PURPOSES, added_up, in_words, read_shown


@pytest.mark.parametrize(
    "said", [None, [], {"attack": "9"}, {"attack": -1}, {"attack": True}, {"attack": 1e3}]
)
def test_counts_that_are_none_count_as_nothing(said: object) -> None:
    assert read_shown(said) == dict.fromkeys(PURPOSES, 0)


def test_counts_add_up() -> None:
    assert added_up([{"attack": 2}, read_shown({"attack": 3, "padding": 1})])["attack"] == 5


def test_counts_in_a_line() -> None:
    assert in_words(read_shown({"attack": 1200, "probe": 34})) == "1,234 (1,200 attack, 34 probe)"
    assert in_words(read_shown({})) == ""


@pytest.mark.parametrize(
    ("said", "attack"),
    [
        ({"attack": 3}, 3),
        ({"attack": 3, "coffee": 9}, 3),
        ({"attack": (1 << 62) - 1}, (1 << 62) - 1),
        ({"attack": 1 << 62}, 0),
        ({"attack": 3, "probe": None}, 0),
        ({"attack": float("nan")}, 0),
        ("attack", 0),
    ],
)
def test_a_file_is_believed_as_a_whole_or_not_at_all(said: object, attack: int) -> None:
    assert read_shown(said) == {**dict.fromkeys(PURPOSES, 0), "attack": attack}


def test_nothing_adds_up_to_nothing_and_unknown_purposes_are_left_out() -> None:
    assert added_up([]) == dict.fromkeys(PURPOSES, 0)
    assert added_up([{"coffee": 3}, {"probe": 2}, {"probe": 5}]) == {**added_up([]), "probe": 7}
