"""What an evaluation is to do: checked before anything is computed, and the same in every process."""

from typing import Any

import pytest
import torch
from torch import nn

from advbench import Placement, identity
from advbench.attacks import PGD, Square
from advbench.defenses import JPEG, Noise, Round
from advbench.errors import InputError
from advbench.evaluation.plan import chosen_images, defense_chains, substitutes_of
from advbench.results.table import Cell
from tests.evaluation.models import Sum, levels, plan_of


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eot": 0}, "eot must be at least 1, got 0."),
        ({"judge_draws": 0}, "judge_draws must be at least 1, got 0."),
        ({"calibrate_on": -3}, "calibrate_on must be at least 1, got -3."),
        ({"attacks": {}}, "there are no attacks to run."),
        (
            {"rungs": ("clean",)},
            "there is no rung 'clean'; known: static, shattered, bpda, gradient_free, label_only, worst, "
            "binarization.",
        ),
        ({"rungs": ("gradient_free",)}, "the rung 'gradient_free' and one attack for it belong together."),
        (
            {"gradient_free": {"a": Square()}},
            "the rung 'gradient_free' and one attack for it belong together.",
        ),
        ({"model": torch.relu}, "the model must be a torch.nn.Module, got builtin_function_or_method."),
        ({"model": nn.Linear(2, 2).half()}, "advbench computes in float32, the model is in torch.float16: "),
    ],
)
def test_what_cannot_be_done_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        plan_of(**changes)
    assert str(refused.value).startswith(message)


def test_whole_numbers_in_a_model_are_no_other_precision() -> None:
    model = Sum()
    model.register_parameter("levels", nn.Parameter(torch.arange(3), requires_grad=False))
    assert plan_of(model=model).device == torch.device("cpu")
    assert plan_of(model=nn.Flatten()).device == torch.device("cpu"), "one without a tensor, too"


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([], "there are no images to evaluate."),
        ([1, 2, 1], "indices must be distinct: an image counts once."),
        ([-1], "indices must lie in 0..3, got -1..-1."),
        ([0, 4], "indices must lie in 0..3, got 0..4."),
    ],
)
def test_images_that_cannot_be_evaluated_are_refused(indices: list[int], message: str) -> None:
    with pytest.raises(InputError) as refused:
        chosen_images(levels(0.1, 0.2, 0.3, 0.4), indices)
    assert str(refused.value) == message


def test_images_are_all_or_those_that_are_asked_for_in_their_order() -> None:
    data = levels(0.1, 0.2, 0.3, 0.4)
    assert chosen_images(data, None) == [0, 1, 2, 3]
    assert chosen_images(data, torch.tensor([3, 0]).numpy().tolist()) == [3, 0]
    with pytest.raises(InputError, match="no images"):
        chosen_images([], None)


@pytest.mark.parametrize("chain", [[], 3, [3], [Round(), None], "round"])
def test_what_is_no_defense_is_refused(chain: Any) -> None:
    with pytest.raises(InputError, match="a defense must be a function, a Placement, or a list of them, got"):
        defense_chains({"mine": chain})


def test_the_undefended_model_comes_first_and_its_name_is_taken() -> None:
    inside = Placement(Round(), "features")
    chains = defense_chains({"one": Round(), "two": inside, "chain": [Round(), inside]})
    assert list(chains) == ["none", "one", "two", "chain"]
    assert [[link.at for link in chain] for chain in chains.values()] == [
        [],
        ["input"],
        ["features"],
        ["input", "features"],
    ]
    with pytest.raises(InputError, match="'none' is the undefended model"):
        defense_chains({"none": Round()})


def test_substitutes_are_named_an_element_each() -> None:
    chain = [Placement(Round(), substitute=identity), Placement(JPEG(), substitute=torch.tanh)]
    assert substitutes_of(defense_chains({"chain": chain})) == {"none": "", "chain": "identity+tanh"}


def test_a_sample_is_a_matter_of_the_runs_images_and_of_nothing_else() -> None:
    images = [*range(0, 900, 3)]
    plan, other = plan_of(images=images), plan_of(images=images[::-1])
    assert plan.sample(20) == other.sample(20) == sorted(plan.sample(20))
    assert set(plan.sample(20)) < set(plan.sample(50)) < set(images)
    assert plan.sample(10_000) == images
    assert plan.sample(20) != plan_of(images=images, seed=1).sample(20)
    assert len(plan.calibration) == 64


def test_what_draws_stands_and_attacks_where_is_told() -> None:
    noise: Any = Noise()
    plan = plan_of(
        {"round": Round(), "both": [Placement(noise, "edge"), Placement(Round(), "logits")]},
        rungs=("shattered", "gradient_free"),
        attacks={"a": PGD(steps=1)},
        gradient_free={"a": Square(queries=2)},
    )
    assert [plan.is_random(each) for each in plan.chains] == [False, False, True]
    assert plan.places == {"input", "edge", "logits"}
    assert plan.attack_of(Cell("round", "a", "shattered")) == PGD(steps=1)
    assert plan.attack_of(Cell("round", "a", "gradient_free")) == Square(queries=2)


def test_an_attack_sees_the_copy_and_the_judge_the_model() -> None:
    working = Sum(edge=1.0)
    plan = plan_of({"round": Round()}, working=working, compiled={working: nn.Identity()})
    assert plan.judged("round").model is plan.model
    assert isinstance(plan.attacked("round").model, nn.Identity), "compiled, where nothing stands inside"
    assert plan.attacked("round", network=plan.model).model is plan.model
    network, copied = (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)) for _ in range(2))
    chains = {"in": Placement(Round(), "0")}
    inside = plan_of(chains, model=network, working=copied, compiled={copied: nn.Identity()})
    assert inside.attacked("in").model is copied


def test_the_heading_names_rungs_in_the_order_of_the_ladder() -> None:
    heading = plan_of({"round": Round()}, rungs=("bpda", "shattered")).heading(("m", "d"), {})
    assert heading.rungs == ("shattered", "bpda")
    assert (heading.model, heading.dataset, heading.norm, heading.eps) == ("m", "d", "linf", "0.2")
    assert heading.attacks == ("pgd",)
