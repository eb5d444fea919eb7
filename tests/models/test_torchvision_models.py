"""Every classifier of torchvision stands behind its weights' normalisation and a defense of its input.

On torch's meta device, where shapes are computed and no number is: the largest too, in seconds.
"""

import pytest
import torch
import torchvision.models
from torch import nn

from advbench.defended.model import DefendedModel
from advbench.defended.normalized import Normalized
from advbench.jobs.named import defense
from advbench.models.network import build_network
from advbench.models.published import of_torchvision
from advbench.models.registry import torchvision_models
from advbench.names.grammar import Spec

NAMES = tuple(torchvision_models())
TOO_LARGE = "regnet_y_128gf"  # 645 million parameters, and built as the smaller ones are
FEW = ("resnet18", "googlenet", "inception_v3", "vit_b_32", "swin_t", "mobilenet_v3_small")
BEHIND = [
    name if name in FEW else pytest.param(name, marks=pytest.mark.slow)
    for name in NAMES
    if name != "regnet_y_128gf"
]


def network(name: str) -> nn.Module:
    if name.startswith("regnet"):  # torchvision works their widths out with tensors
        return build_network(Spec(name), 7).eval().to("meta")
    with torch.device("meta"):
        return build_network(Spec(name), 7).eval()


@pytest.mark.parametrize("name", BEHIND)
def test_it_gives_logits_and_gradients_behind_a_defense_of_its_input(name: str) -> None:
    x = torch.rand(2, 3, 224, 224, device="meta", requires_grad=True)
    wrapped = Normalized(network(name), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).to("meta")
    model = DefendedModel(wrapped, defense("bit-depth:bits=3"), bpda=True)
    logits = model(x)
    assert logits.shape == (2, 7)
    (grad,) = torch.autograd.grad(logits.sum(), x)
    assert grad.shape == x.shape


@pytest.mark.parametrize("name", NAMES)
def test_published_weights_are_known_by_their_files_with_their_own_normalisation(name: str) -> None:
    for weights in torchvision.models.get_model_weights(name):
        own = weights.transforms()
        known = of_torchvision(name, weights.url.rpartition("-")[2].removesuffix(".pth") + 56 * "0")
        assert known is not None
        assert (list(known.mean), list(known.std)) == (list(own.mean), list(own.std))


def test_not_all_of_them_share_one_normalisation() -> None:
    (weights,) = torchvision.models.get_model_weights("efficientnet_v2_l")
    known = of_torchvision("efficientnet_v2_l", weights.url.rpartition("-")[2].removesuffix(".pth"))
    assert known is not None
    assert known.mean == known.std == (0.5, 0.5, 0.5)
