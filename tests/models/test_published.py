"""Published weights are known by their numbers or by the name of their file, and by nothing else."""

import copy
import hashlib

import pytest
import torch
from torch import nn

from advbench.models.published import of_built_in, of_torchvision, weights_digest
from advbench.models.registry import IMAGENET, PIXELS, Normalization
from tests.checkpoints import distinct_network

NOBODYS = 64 * "0"


def test_torchvisions_weights_are_known_by_their_hash() -> None:
    assert of_torchvision("resnet50", "0676ba61" + 56 * "0") == IMAGENET
    assert of_torchvision("resnet50", NOBODYS) is None
    features = of_torchvision("vgg16", "amdegroot"[:8])  # one of its files has no hash in its name
    assert features is None


def test_a_digest_is_that_of_names_and_numbers_in_the_order_of_the_names() -> None:
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0]]))
        layer.bias.fill_(0.5)
    bias, weight = bytes.fromhex("0000003f"), bytes.fromhex("0000803f000000c0")
    assert weights_digest(layer) == hashlib.sha256(b"bias" + bias + b"weight" + weight).hexdigest()
    assert weights_digest(nn.Flatten()) == hashlib.sha256(b"").hexdigest()


def test_a_digest_follows_the_numbers_and_not_how_they_are_kept() -> None:
    network = distinct_network()
    digest = weights_digest(network)
    turned = copy.deepcopy(network)
    turned.layer1[0].weight.data = turned.layer1[0].weight.data.to(memory_format=torch.channels_last)
    counted = copy.deepcopy(network)
    counted.get_buffer("layer1.1.num_batches_tracked").add_(1)
    same = [copy.deepcopy(network).double(), copy.deepcopy(network).train(), turned, counted]
    assert [weights_digest(each) for each in same] == [digest] * 4
    with torch.no_grad():
        network.get_buffer("layer1.1.running_var")[3] += 1e-6
    assert weights_digest(network) != digest


@pytest.mark.parametrize(
    ("sha256", "constants"),
    [
        ("d509ac18" + 56 * "f", IMAGENET),
        ("4bfd9763", IMAGENET),
        ("d509ac1", None),
        (NOBODYS, None),
        ("", None),
    ],
)
def test_weights_are_known_by_the_first_eight_digits_of_their_file(
    sha256: str, constants: Normalization | None
) -> None:
    assert of_built_in(nn.Linear(1, 1), sha256) == constants


def test_weights_that_were_saved_anew_are_known_by_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Linear(3, 2)
    monkeypatch.setattr("advbench.models.published._WEIGHTS", {weights_digest(network)[:16]: PIXELS})
    assert of_built_in(network, NOBODYS) == PIXELS
    assert of_built_in(network, "d509ac18") == IMAGENET, "the file's own name goes first"
    assert of_built_in(nn.Linear(3, 2), NOBODYS) is None
