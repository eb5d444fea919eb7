"""The search for substitutes: it finds what breaks a defense, repeats itself, and only adds to its best."""

import json
from typing import ClassVar

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from advbench import Draws, Placement
from advbench.defended.backward import Map
from advbench.errors import DefenseError, SpecError
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.search_substitutes import ALL
from advbench.results.records import join_samples
from tests.small import Network, run


class Mirrored:
    """Rounds the negative: the identity follows the wrong sign, the negative the right one."""

    substitutes: ClassVar[tuple[str, ...]] = ("identity", "negative", "broken", "zero")

    def __call__(self, x: Tensor) -> Tensor:
        return 1.0 - (x * 20).round() / 20

    def negative(self, x: Tensor) -> Tensor:
        return 1.0 - x

    def zero(self, x: Tensor) -> Tensor:
        return 0.0 * x

    def broken(self, x: Tensor) -> Tensor:
        return x[:, :, 1:]


class Memory:
    """Keeps in memory what a folder would keep."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.origin: dict[str, str] = {}

    def load(self, name: str) -> bytes | None:
        return self.kept.get(name)

    def save(self, name: str, contents: bytes) -> None:
        assert name not in self.kept, "nothing is made twice"
        self.kept[name] = contents


@pytest.fixture
def mirrored(network: Network, data: TensorDataset) -> TensorDataset:
    """The images with the labels that the network gives their negatives."""
    x, _ = data.tensors
    mode = network.training
    y = network.eval()(Mirrored()(x)).argmax(1)
    network.train(mode)
    return TensorDataset(x, y)


def test_the_search_finds_the_substitute_that_breaks_the_defense(
    network: Network, mirrored: TensorDataset
) -> None:
    found = run(network, mirrored, defenses={"mirrored": Mirrored()})
    graded = {each.substitute: each for each in found.candidates}
    assert graded["negative"].rank == 1
    assert [each.rank for each in found.candidates].count(2) == 1
    negative, identity, zero = (graded[name] for name in ("negative", "identity", "zero"))
    assert negative.agreement is not None
    assert identity.agreement is not None
    assert negative.agreement > 0.3
    assert identity.agreement == pytest.approx(-negative.agreement, abs=1e-6)
    assert zero.agreement is None
    assert negative.standing is not None
    assert zero.standing == zero.n == 50 > negative.standing
    assert "shape" in graded["broken"].note
    assert found.rows[1].substitute.startswith("negative; ")


def test_the_second_choice_only_adds_to_what_the_first_finds(
    network: Network, mirrored: TensorDataset
) -> None:
    searched = run(network, mirrored, defenses={"mirrored": Mirrored()})
    alone = run(network, mirrored, defenses={"mirrored": Mirrored()}, substitute="negative")
    both, first = (each.samples.query("rung == 'bpda'").set_index("index") for each in (searched, alone))
    assert not (both["robust"] & ~first["robust"]).any()
    fallen = ~first["robust"]
    pd.testing.assert_frame_equal(both[fallen], first[fallen])
    rest = first["robust"]
    assert (both["steps"][rest] > first["steps"][rest]).all()
    assert (both["steps"][rest] <= 2 * 5).all()
    assert alone.rows[1].substitute == "negative"
    assert alone.candidates == ()


def test_a_search_gives_the_same_whatever_the_batch_the_share_and_the_restart(
    network: Network, mirrored: TensorDataset
) -> None:
    store = Memory()
    options: dict[str, object] = {"defenses": {"mirrored": Mirrored()}, "calibration": 20}
    parts: list[RungDone] = []
    whole = run(network, mirrored, store=store, keep=parts.append, **options)
    exact = [name for name in whole.samples if name not in ("loss", "distance")]
    small = run(network, mirrored, batch_size=7, **options)
    pd.testing.assert_frame_equal(small.samples[exact], whole.samples[exact])
    assert [(each.substitute, each.rank) for each in small.candidates] == [
        (each.substitute, each.rank) for each in whole.candidates
    ]
    share = run(network, mirrored, indices=range(1, 50, 2), population=range(50), **options)
    assert share.candidates == whole.candidates
    known = join_samples([each.samples for each in parts[:5]])
    resumed = run(network, mirrored, store=store, begin=lambda _: known, **options)
    assert resumed.candidates == whole.candidates
    assert resumed.rows == whole.rows


def test_what_a_store_gives_back_damaged_is_done_again(network: Network, mirrored: TensorDataset) -> None:
    store = Memory()
    whole = run(network, mirrored, defenses={"mirrored": Mirrored()}, store=store)
    (name,) = store.kept
    for contents in (b"{", b"[]", json.dumps([{"defense": "mirrored", "substitute": "no"}]).encode()):
        damaged = Memory()
        damaged.load = lambda _, contents=contents: contents  # type: ignore[method-assign,misc]
        assert run(network, mirrored, defenses={"mirrored": Mirrored()}, store=damaged).rows == whole.rows
        assert list(damaged.kept) == [name]


def test_a_learned_substitute_is_fitted_once_and_kept(network: Network, mirrored: TensorDataset) -> None:
    store = Memory()
    places: dict[str, Map | Placement] = {"in": Mirrored(), "inside": Placement(Mirrored(), "features")}
    found = run(network, mirrored, defenses=places, substitute="learned", store=store, calibration=10)
    assert len([name for name in store.kept if name.startswith("learned-")]) == 2
    assert [row.substitute for row in found.rows[1:]] == ["learned", "learned"]
    before = found.rows[1].rates
    assert before["bpda"].count < before["shattered"].count
    again = Memory()
    again.kept.update(store.kept)  # a second save would fail
    repeated = run(network, mirrored, defenses=places, substitute="learned", store=again, calibration=10)
    pd.testing.assert_frame_equal(repeated.samples, found.samples)


def test_every_element_of_a_chain_has_candidates_of_its_own(network: Network, data: TensorDataset) -> None:
    chain = [Placement(Mirrored()), Placement(Mirrored()), Placement(torch.round, "logits")]
    found = run(network, data, defenses={"chain": chain})
    names = {each.substitute for each in found.candidates}
    assert len(names) == 16 <= ALL
    assert {"identity+negative+identity", "negative+negative+identity"} <= names


def test_long_chains_are_searched_element_by_element(network: Network, mirrored: TensorDataset) -> None:
    chain = [Mirrored() for _ in range(3)]
    found = run(network, mirrored, defenses={"chain": chain})
    assert len(found.candidates) <= 4 + 3 * 3 < 4**3
    (best,) = [each for each in found.candidates if each.rank == 1]
    product = 1
    for name in best.substitute.split("+"):
        product *= {"identity": 1, "negative": -1}.get(name, 0)
    assert product == -1, "three negatives are one"


def test_several_names_are_searched_and_one_is_taken(network: Network, mirrored: TensorDataset) -> None:
    options: dict[str, object] = {"defenses": {"mirrored": Mirrored()}}
    found = run(network, mirrored, substitute=["zero", "negative"], **options)
    assert {each.substitute: each.rank for each in found.candidates} == {"zero": 2, "negative": 1}
    plain = run(network, mirrored, substitute="identity", **options)
    assert plain.candidates == ()


def test_a_defense_that_lists_nothing_is_searched_only_when_asked(
    network: Network, data: TensorDataset
) -> None:
    options: dict[str, object] = {"defenses": {"round": torch.round}}
    assert run(network, data, **options).candidates == ()
    found = run(network, data, substitute="search", **options)
    assert {each.substitute for each in found.candidates} == {"identity", "smooth", "learned"}


@pytest.mark.parametrize(
    ("substitute", "message"),
    [
        ("soft", "has no substitute 'soft'"),
        ("identity+identity", "is for 2 elements of a chain, and 'mirrored' has 1"),
        (["search", "identity"], "give it alone"),
        ("identity+", "empty element"),
    ],
)
def test_names_that_do_not_fit_are_refused_before_anything_is_computed(
    network: Network, data: TensorDataset, substitute: str | list[str], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        run(network, data, substitute=substitute, defenses={"mirrored": Mirrored()})


def test_a_search_in_which_nothing_fits_says_so(network: Network, data: TensorDataset) -> None:
    message = "no substitute fits mirrored; broken: substitute broken failed .* IndexError"
    with pytest.raises(DefenseError, match=message):
        run(
            network,
            data,
            substitute=["broken", "smooth"],
            defenses={"mirrored": Placement(Mirrored(), "logits")},
        )


def test_a_placement_with_its_own_substitute_is_not_searched(network: Network, data: TensorDataset) -> None:
    placement = Placement(Mirrored(), substitute=Mirrored().negative)
    found = run(network, data, defenses={"mirrored": placement})
    assert found.candidates == ()
    assert found.rows[1].substitute == "negative"


def test_random_defenses_can_be_searched(network: Network, data: TensorDataset) -> None:
    class Noise:
        random = True
        substitutes: ClassVar[tuple[str, ...]] = ("identity", "exact")

        def __call__(self, x: Tensor, draws: Draws) -> Tensor:
            return x + 0.1 * draws.normal(tuple(x.shape[1:])).to(x)

    found = run(network, data, defenses={"noise": Noise()}, eot=2, judge_draws=3)
    assert {each.rank for each in found.candidates} == {1, 2}
