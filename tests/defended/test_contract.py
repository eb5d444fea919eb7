"""What a model must keep to, seen where it first meets images; what it breaks is said in a sentence."""

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from advbench import DefendedModel, Placement
from advbench.defended.contract import check_substitutes, checked_logits
from advbench.defended.normalized import Normalized
from advbench.errors import DefenseError, ModelError


class Returns(nn.Module):
    """A model that returns what a function makes of the images."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


def broken_at(layer: str) -> nn.Module:
    """Three linear layers, of which one turns the second image into NaN."""
    layers = OrderedDict[str, nn.Module](flat=nn.Flatten(), first=nn.Linear(16, 8), middle=nn.Linear(8, 8))
    layers["last"] = nn.Linear(8, 4)
    bias = layers[layer].bias
    assert isinstance(bias, nn.Parameter)
    nn.init.constant_(bias, torch.nan)
    return nn.Sequential(layers)


def inside(name: str, network: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict([(name, network)]))


def check(model: nn.Module, x: Tensor, y: Tensor) -> str:
    with pytest.raises(ModelError) as caught:
        checked_logits(model, x, y)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Returns(lambda x: x), "(2, 1, 4, 4)"),
        (Returns(lambda x: x.flatten(1)[0]), "(16,)"),
        (Returns(lambda x: x.flatten(1)[:1]), "(1, 16)"),
        (Returns(lambda x: {"logits": x.flatten(1)}), "dict"),
        (Returns(lambda x: (x.flatten(1),)), "tuple"),
        (Returns(lambda x: x.flatten(1).argmax(1)), "(2,)"),
        (Returns(lambda x: x.flatten(1).long()), "torch.int64"),
        (Returns(lambda x: x.flatten(1)[:, :3]), "3 classes and cannot hold label 3"),
        (Returns(lambda x: x.flatten(1) * torch.tensor([[1.0], [torch.inf]])), "1 of 2 clean images"),
        (broken_at("last"), "2 of 2 clean images"),
        (broken_at("middle"), "'middle'"),
        (Normalized(broken_at("middle"), (0.5,), (0.5,)), "'middle'"),
        (inside("net", broken_at("first")), "'net.first'"),
        (inside("model", broken_at("first")), "'model.first'"),
        (inside("network", broken_at("first")), "'network.first'"),
    ],
)
def test_a_model_that_breaks_its_contract_is_refused(model: nn.Module, expected: str) -> None:
    assert expected in check(model, torch.rand(2, 1, 4, 4) + 0.1, torch.tensor([0, 3]))


def test_a_model_that_keeps_its_contract_gives_its_own_logits(linear_model: nn.Sequential) -> None:
    x = torch.rand(2, 1, 4, 4)
    assert torch.equal(checked_logits(linear_model, x, torch.tensor([0, 2])), linear_model(x))


def test_a_defense_that_gives_nan_is_not_taken_for_a_model_that_changes_its_input() -> None:
    x, y = torch.rand(2, 1, 4, 4), torch.tensor([0, 1])
    model = DefendedModel(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), [Placement(lambda x: x / 0.0 * 0.0)])
    assert check(model, x, y).startswith("the model returns NaN or infinite logits for 2 of 2 clean images.")


@pytest.mark.parametrize("spoil", [lambda x: x.fill_(torch.nan), lambda x: x.mul_(0.5), lambda x: x.neg_()])
def test_a_model_that_writes_over_its_input_is_told_so(spoil: Callable[[Tensor], Tensor]) -> None:
    x = torch.rand(2, 1, 4, 4) + 0.1
    said = check(Returns(lambda x: spoil(x).nan_to_num().flatten(1)), x, torch.tensor([0, 1]))
    assert said == "the model changes its input in place; let it work on a copy (x.clone())."


def fails_with(error: Exception) -> nn.Module:
    def raising(_x: Tensor) -> Tensor:
        raise error

    return Returns(raising)


@pytest.mark.parametrize("error", [DefenseError("ours"), MemoryError("out"), RuntimeError("out of memory")])
def test_errors_of_our_own_and_memory_that_ran_out_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        checked_logits(fails_with(error), torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))
    assert raised.value is error


def test_looking_leaves_no_hook_even_where_the_model_fails() -> None:
    for model in (fails_with(KeyError("no")), broken_at("middle")):
        check(model, torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))
        for module in model.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks


def test_a_gradient_is_tried_on_a_few_images_that_stay_as_they_are() -> None:
    shown: list[int] = []

    def note(x: Tensor) -> Tensor:
        shown.append(len(x))
        return x.flatten(1)

    x = torch.rand(20, 1, 4, 4)
    check_substitutes(Returns(note), x)
    check_substitutes(Returns(lambda x: x.detach().flatten(1)), x)
    assert shown == [8]
    assert not x.requires_grad
