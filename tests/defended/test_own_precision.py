"""Networks in 16 and 64 bits: between images and logits in float32, judged in their own precision."""

import pytest
import torch
from torch import Tensor, nn

from advbench import evaluate
from advbench.attacks.pgd import PGD
from advbench.defended.model import network_of
from advbench.defended.own_precision import InOwnPrecision, in_own_precision, own_precision
from advbench.errors import ModelError
from advbench.threat.threat import Threat

DTYPES = [torch.float16, torch.bfloat16, torch.float64]
X = torch.rand(6, 1, 3, 3, generator=torch.Generator().manual_seed(1))


def small(dtype: torch.dtype, gain: float = 1.0) -> nn.Sequential:
    """A linear network whose logits are `gain` times as large."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(9, 4))
    for parameter in network.parameters():
        parameter.data *= gain
    return network.to(dtype)


class CastsItself(nn.Module):
    """A network in 16 bits that takes float32."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small(torch.float16)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(((x - 0.5) / 0.25).half())
        return logits


@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_are_the_networks_own_bit_for_bit(dtype: torch.dtype) -> None:
    network = small(dtype)
    wrapped = in_own_precision(network, X)
    assert isinstance(wrapped, InOwnPrecision)
    assert network_of(wrapped) is network
    assert torch.equal(wrapped(X), network(X.to(dtype)).float())
    assert own_precision(wrapped) == str(dtype).removeprefix("torch.")


def test_a_network_that_casts_by_itself_is_given_float32() -> None:
    network = CastsItself()
    wrapped = in_own_precision(network, X)
    assert isinstance(wrapped, InOwnPrecision)
    assert wrapped.dtype == torch.float32
    assert torch.equal(wrapped(X), network(X).float())


def test_a_network_in_float32_stays_itself() -> None:
    network = small(torch.float32)
    assert in_own_precision(network, X) is network


def test_a_network_that_fails_in_every_precision_says_so() -> None:
    with pytest.raises(ModelError, match=r"in float16, and fails on cpu with images of shape \(1, 3, 4\)"):
        in_own_precision(small(torch.float16), torch.rand(2, 1, 3, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_that_underflow_in_16_bits_fell_what_they_fell_in_32(dtype: torch.dtype) -> None:
    """Plain PGD on cross-entropy in float16 has no gradient here, and leaves all images standing."""
    network, eps, steps = small(dtype, gain=120.0), 0.5, 10
    x = torch.rand(80, 1, 3, 3, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        logits = network(x.to(dtype)).float()
    top, second = logits.topk(2, dim=1).values.unbind(1)
    sure = (top - second > 20.0) & (top - second < 80.0)  # of p = 1 in 16 bits, not of p_j = 0 in 32
    x, y = x[sure], logits.argmax(1)[sure]

    def standing(network: nn.Module, dtype: torch.dtype) -> int:
        """After plain PGD, with a loss in the network's own type."""
        x_adv = x.clone()
        for _ in range(steps):
            point = x_adv.clone().requires_grad_()
            loss = nn.functional.cross_entropy(network(point.to(dtype)), y, reduction="sum")
            (grad,) = torch.autograd.grad(loss, point)
            x_adv = (x_adv + 2.5 * eps / steps * grad.sign()).clamp(x - eps, x + eps).clamp(0.0, 1.0)
        with torch.no_grad():
            return int((network(x_adv.to(dtype)).argmax(1) == y).sum())

    result = evaluate(
        network,
        torch.utils.data.TensorDataset(x, y),
        threat=Threat("linf", eps),
        attacks={"pgd": PGD(steps=steps, random_start=False)},
    )
    samples = result.samples
    left = int(samples[samples["rung"] == "shattered"]["robust"].sum())
    if dtype == torch.float16:
        assert standing(network, dtype) == len(x)
    assert left == standing(network.double(), torch.float64) < len(x) // 2
