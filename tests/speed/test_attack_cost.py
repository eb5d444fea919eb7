"""How often an evaluation asks the network, counted in images; a pass too many fails here, on any machine.

What an evaluation pays once, whatever the number of images (a look at the first batch, indicators on a few
images), is no part of it: counted is the difference that more images make.
"""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from advbench import Attack, Threat, evaluate
from advbench.attacks import APGD, PGD, Square
from advbench.defenses import Median
from advbench.evaluation.plan import Chain
from advbench.results.records import LADDER
from benchmarks.gallery import bundled, digits
from benchmarks.meter import Passes, metered

BATCH = 32
FEW, MANY = 64, 160  # whole batches of whole lanes, so that nothing is filled up
STEPS, QUERIES = 6, 9
HARMLESS = Threat("linf", 1e-6)  # fells nothing, so that every image costs all that an attack may ask for


@torch.no_grad()
def right(count: int, chain: Chain | None) -> TensorDataset:
    """The first so many digits that the network classifies correctly, with and without a defense."""
    (x, y), network = digits(), bundled().eval()
    stands = network(x).argmax(1) == y
    if callable(chain):
        stands &= network(chain(x)).argmax(1) == y
    return TensorDataset(x[stands][:count], y[stands][:count])


def passes(count: int, attack: Attack, defense: Chain | None = None, **settings: Any) -> Passes:
    """What an evaluation of so many images asks of the network."""
    model, meter = metered(bundled())
    defenses: Mapping[str, Chain] = {} if defense is None else {"defense": defense}
    evaluate(
        model,
        right(count, defense),
        attacks={"attack": attack},
        defenses=defenses,
        **{"threat": HARMLESS, "rungs": (), "batch_size": BATCH, **settings},
    )
    return meter.passes


def passes_an_image(attack: Attack, defense: Chain | None = None, **settings: Any) -> Passes:
    """What every further image costs; it comes out whole, or something is asked only now and then."""
    few, many = (passes(count, attack, defense, **settings) for count in (FEW, MANY))
    forward, backward = (after - before for before, after in zip(few, many, strict=True))
    assert forward % (MANY - FEW) == backward % (MANY - FEW) == 0
    return Passes(forward // (MANY - FEW), backward // (MANY - FEW))


CLEAN = JUDGED = LAST = RANKED = 1
"""A pass each: the clean image's, the judge's, the last iterate's, and one that ranks the classes."""

COSTS: dict[str, tuple[Attack, Passes]] = {
    "pgd": (PGD(steps=STEPS, early_stop=False), Passes(CLEAN + STEPS + LAST + JUDGED, STEPS)),
    "pgd that lets fallen images go": (PGD(steps=STEPS), Passes(CLEAN + STEPS + LAST + JUDGED, STEPS)),
    "pgd, twice": (
        PGD(steps=STEPS, restarts=2, early_stop=False),
        Passes(CLEAN + 2 * (STEPS + LAST) + JUDGED, 2 * STEPS),
    ),
    "apgd": (APGD(steps=STEPS), Passes(CLEAN + STEPS + LAST + JUDGED, STEPS)),
    "apgd, three targets": (
        APGD(steps=STEPS, loss="dlr", targets=3),
        Passes(CLEAN + RANKED + 3 * (STEPS + LAST) + JUDGED, 3 * STEPS),
    ),
    "square": (Square(queries=QUERIES), Passes(CLEAN + QUERIES + JUDGED, 0)),
}


def test_copies_and_traced_programs_of_a_network_count_into_its_meter() -> None:
    model, meter = metered(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    x = torch.rand(3, 1, 2, 2, requires_grad=True)
    for each in (model, copy.deepcopy(model), torch.fx.symbolic_trace(model)):
        torch.autograd.grad(each(x).sum(), x)
        each(x.detach())
    assert meter.passes == Passes(18, 9)


@pytest.mark.parametrize("name", COSTS)
def test_an_image_costs_what_its_attack_asks_for_and_two_passes(name: str) -> None:
    attack, expected = COSTS[name]
    assert passes_an_image(attack) == expected


def test_the_ladder_costs_its_rungs() -> None:
    """Undefended: shattered and gradient-free. Defended: static, shattered, BPDA, gradient-free."""
    found = passes_an_image(
        PGD(steps=STEPS, early_stop=False),
        Median(),
        rungs=LADDER,
        gradient_free={"square": Square(queries=QUERIES)},
        substitute="identity",
        calibration=8,
    )
    ascent, search, static = STEPS + LAST + JUDGED, QUERIES + JUDGED, JUDGED
    assert found == Passes(2 * CLEAN + 3 * ascent + 2 * search + static, 3 * STEPS)


def test_what_is_paid_once_is_a_few_looks_at_the_first_batch() -> None:
    few = passes(FEW, PGD(steps=STEPS, early_stop=False))
    once = few.forward - FEW * COSTS["pgd"][1].forward
    assert 0 <= once <= ALLOWED * BATCH
    assert few.backward - FEW * STEPS <= DIFFERENTIATED * BATCH


ALLOWED = 9
"""Batches in which an evaluation may look at what it is given before the attacks begin: half of it are 8
images that are shown again and again, so that a coin which the model tosses is seen."""

DIFFERENTIATED = 4
"""The same for backward passes."""


def test_fallen_images_cost_little_more() -> None:
    """The last ones of a batch bring some of the fallen along, since few sizes of batches are used."""
    attack, data = PGD(steps=40), right(MANY, None)
    model, meter = metered(bundled())
    found = evaluate(
        model, data, threat=Threat("linf", 0.3), attacks={"pgd": attack}, rungs=(), batch_size=BATCH
    )
    attacked = found.samples[found.samples["rung"] == "shattered"]
    booked = int(attacked["queries"].sum())
    assert not attacked["robust"].any()
    assert booked < MANY * attack.steps / 4
    assert meter.forward <= MANY * (CLEAN + JUDGED) + ALLOWED * BATCH + 2 * booked
    assert meter.backward <= DIFFERENTIATED * BATCH + 2 * booked
