"""A network's keys are found under any prefix, and the best place comes first."""

import pytest
import torch
from torch import Tensor

from advbench.models.checkpoint.match import TOP, Match, matches_of

OWN = {
    "conv.weight": torch.zeros(2, 1, 3, 3),
    "bn.running_mean": torch.zeros(2),
    "bn.num_batches_tracked": torch.tensor(0),
    "head.bias": torch.zeros(3),
}


def under(prefix: str, state: dict[str, Tensor] = OWN) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def names(*found: tuple[str, dict[str, Tensor]], complete: bool = True) -> list[str]:
    return [each.name for each in matches_of(OWN, found) if each.complete is complete]


@pytest.mark.parametrize(
    ("label", "prefix", "name"),
    [
        ("", "", TOP),
        ("", "module.", "module"),
        ("state_dict", "", "state_dict"),
        ("state_dict.0", "a.b.", "state_dict.0.a.b"),
        ("", "conv.", "conv"),
        ("", "x." * 32, ".".join(["x"] * 32)),
    ],
)
def test_a_network_is_called_by_the_keys_that_lead_to_it(label: str, prefix: str, name: str) -> None:
    first = matches_of(OWN, [(label, under(prefix))])[0]
    assert (first.name, first.prefix, first.complete) == (name, prefix, True)
    assert first.weights == OWN
    assert first.rest == []


def test_a_prefix_of_more_parts_than_any_module_has_is_not_looked_for() -> None:
    assert not names(("", under("x." * 33)))


def test_what_is_missing_and_what_has_another_shape_is_told_and_counts_of_batches_are_not_missed() -> None:
    state = {
        "net.conv.weight": torch.zeros(2, 3, 3, 3),
        "net.head.bias": torch.zeros(3),
        "epoch": torch.zeros(1),
    }
    first = matches_of(OWN, [("", state)])[0]
    assert (first.missing, first.reshaped) == (("bn.running_mean",), ("conv.weight",))
    assert not first.complete
    assert first.rest == ["epoch"]


@pytest.mark.parametrize(
    "later", ["ema", "model_ema", "swa.module", "teacher", "encoder_k", "attacker.model", "module.avg"]
)
def test_a_network_comes_before_its_copies_whatever_their_order(later: str) -> None:
    assert names((later, OWN), ("model", OWN)) == ["model", later]
    assert names(("", {**under(f"{later}."), **under("student.")})) == ["student", later]


def test_words_that_only_contain_that_of_a_copy_are_no_copies() -> None:
    assert names(("schema", OWN), ("model", OWN)) == ["schema", "model"]


def test_places_that_share_more_keys_come_before_those_that_share_less() -> None:
    few, more = {"head.bias": torch.zeros(3)}, {**OWN, "conv.weight": torch.zeros(1)}
    assert names(("few", few), ("more", more), complete=False) == ["more", "few"]
    assert names(("few", few), ("whole", OWN)) == ["whole"]
    assert matches_of(OWN, [("", {"other": torch.zeros(1)})]) == []
    assert matches_of(OWN, []) == []


def first(state: dict[str, Tensor]) -> Match:
    return matches_of(OWN, [("", state)])[0]


def test_wrappers_inside_keys_are_looked_past_unless_two_keys_would_become_one() -> None:
    inside = {key.replace(".", ".module."): value for key, value in under("net.").items()}
    found = first(inside)
    assert (found.complete, found.prefix, found.rest) == (True, "net.", [])
    assert found.weights == OWN
    both = {**inside, "net.conv.weight": torch.ones(2, 1, 3, 3)}
    assert not first(both).complete


def test_a_network_without_keys_is_nowhere() -> None:
    assert matches_of({}, [("", OWN)]) == []
