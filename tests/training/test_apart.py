"""APART in use: the loop of its authors' README, and the model left as it was, whatever happens."""

import copy
import io
import pickle
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench import APART
from advbench.errors import AdvbenchError, ApartError, ModelError
from advbench.models.resnet_cifar import resnet20
from tests.small import Network, double_network

LOOP = """
dataloader = batches
model = YourModel()
optimizer = torch.optim.SGD(model.parameters(), 0.1)
apart = APART(model, epsilon, groups)
N = batch_size // 2
r = batch_size / (batch_size + N)

for x, y in dataloader:

    optimizer.zero_grad() # clear gradients stored in each parameter

    # first step of APART
    with apart.to_proxy(): # prepare for the first step
        loss = loss_function(model(x), y) # normal forward pass
        (r * loss).backward() # normal backward pass

    # second step of APART
    with apart.to_adver(): # prepare for the second step
        # adversarial forward and backward passes over a subset of this batch
        ((1 - r) * loss_function(model(x[:N]), y[:N])).backward()

    optimizer.step() # perform the regular gradient update
"""


def step(apart: APART, model: nn.Module, x: Tensor, y: Tensor) -> None:
    model.zero_grad()
    with apart.to_proxy():
        torch.autograd.backward(0.5 * F.cross_entropy(model(x), y))
    with apart.to_adver():
        torch.autograd.backward(0.5 * F.cross_entropy(model(x), y))


def test_the_loop_of_the_authors_readme_trains() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(64, 1, 4, 4, generator=generator)
    y = (x.mean((1, 2, 3)) * 3).long().clamp(0, 2)
    torch.manual_seed(0)
    names = {
        "batches": [(x, y)] * 60,
        "YourModel": Network,
        "torch": torch,
        "APART": APART,
        "epsilon": 0.1,
        "groups": 4,
        "batch_size": 64,
        "loss_function": F.cross_entropy,
    }
    before = F.cross_entropy(Network().train()(x), y)
    exec(LOOP, names)  # the README's own words
    trained = names["model"]
    assert isinstance(trained, Network)
    assert F.cross_entropy(trained(x), y) < 0.7 * before


def test_nothing_of_it_stays_on_the_model() -> None:
    model, x, y = double_network()
    keys, hooks = list(model.state_dict()), [len(each._forward_hooks) for each in model.modules()]
    attributes = [set(vars(each)) for each in model.modules()]
    step(APART(model), model, x, y)
    assert list(model.state_dict()) == keys
    assert [len(each._forward_hooks) for each in model.modules()] == hooks
    assert [set(vars(each)) for each in model.modules()] == attributes
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin.eval()(x), model.eval()(x))
        model.train()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)


@pytest.mark.parametrize("which", ["proxy", "adver"])
def test_an_exception_leaves_the_model_as_it_was(which: str) -> None:
    model, x, y = double_network()
    apart, plain = APART(model), copy.deepcopy(model)
    step(apart, model, x, y)
    plain.load_state_dict(model.state_dict())
    if which == "adver":
        with apart.to_proxy():
            torch.autograd.backward(F.cross_entropy(model(x), y))
        plain.load_state_dict(model.state_dict())
    context = apart.to_proxy() if which == "proxy" else apart.to_adver()
    with pytest.raises(ZeroDivisionError), context:
        raise ZeroDivisionError
    assert torch.equal(model(x), plain(x))
    assert all("forward" not in vars(each) for each in model.modules())
    assert apart.gradients() == {}
    step(apart, model, x, y)


def test_a_forward_that_was_replaced_before_comes_back() -> None:
    model, x, y = double_network()
    theirs: Callable[[Tensor], Tensor] = model[1].forward
    model[1].forward = theirs  # as accelerators do
    step(APART(model), model, x, y)
    assert vars(model[1])["forward"] is theirs


def test_frozen_layers_are_skipped() -> None:
    model, x, y = double_network()
    model[1].eval()
    before = copy.deepcopy(model[1])
    apart = APART(model, 0.5)
    with apart.to_proxy():
        torch.autograd.backward(F.cross_entropy(model(x), y))
    assert list(apart.gradients()) == ["5"]
    with apart.to_adver():
        hidden = model[:2](x)
    assert torch.equal(hidden, before(model[0](x)))
    for one, other in zip(model[1].buffers(), before.buffers(), strict=True):
        assert torch.equal(one, other)


def test_several_proxy_passes_add_their_gradients_up() -> None:
    model, x, y = double_network()
    apart = APART(model)
    found = []
    for parts in ([0], [1], [0, 1]):
        for part in parts:
            with apart.to_proxy():
                torch.autograd.backward(F.cross_entropy(model(x[part * 6 :][:6]), y[part * 6 :][:6]))
        found.append({name: grad.mean.clone() for name, grad in apart.gradients().items()})
        with apart.to_adver():
            pass
    for name, total in found[2].items():
        torch.testing.assert_close(found[0][name] + found[1][name], total)


def test_epsilon_can_be_changed() -> None:
    model, x, y = double_network()
    apart = APART(model, 0.1)
    outputs = []
    for epsilon in (0.0, 0.3):
        apart.set_epsilon(epsilon)
        with apart.to_proxy():
            torch.autograd.backward(F.cross_entropy(model(x), y))
        with apart.to_adver():
            outputs.append(model(x))
    assert torch.equal(outputs[0], model(x))
    assert not torch.allclose(outputs[1], outputs[0])


def test_a_model_that_was_moved_or_cast_goes_on() -> None:
    model, x, y = double_network()
    apart = APART(model)
    step(apart, model, x, y)
    step(apart, model.float(), x.float(), y)


def test_autocast_computes_in_low_precision_and_climbs_in_full() -> None:
    model, x, y = double_network()
    model, x = model.float(), x.float()
    apart = APART(model)
    with torch.autocast("cpu", torch.bfloat16):
        with apart.to_proxy():
            out = model(x)
            torch.autograd.backward(F.cross_entropy(out, y))
        assert out.dtype == torch.bfloat16
        assert all(each.mean.dtype == torch.float32 for each in apart.gradients().values())
        with apart.to_adver():
            torch.autograd.backward(F.cross_entropy(model(x), y))
    assert all(grad.isfinite().all() for each in model.parameters() if (grad := each.grad) is not None)


def twice_entered(apart: APART) -> None:
    with apart.to_proxy(), apart.to_adver():
        pass


def called_without_with(apart: APART) -> None:
    apart.to_proxy()
    apart.to_adver()


def adver_alone(apart: APART) -> None:
    with apart.to_adver():
        pass


def without_a_backward_pass(apart: APART) -> None:
    with apart.to_proxy():
        apart.model(torch.randn(12, 1, 4, 4, dtype=torch.float64))
    adver_alone(apart)


def gradients_used_twice(apart: APART) -> None:
    with apart.to_proxy():
        torch.autograd.backward(apart.model(torch.randn(12, 1, 4, 4, dtype=torch.float64)).sum())
    adver_alone(apart)
    adver_alone(apart)


def undivided(apart: APART) -> None:
    x = torch.randn(12, 1, 4, 4, dtype=torch.float64)
    with apart.to_proxy():
        torch.autograd.backward(apart.model(x).sum())
    with apart.to_adver():
        apart.model(x[:7])


def one_value_a_channel(apart: APART) -> None:
    with apart.to_proxy():
        apart.model(torch.randn(1, 1, 4, 4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (twice_entered, "inside another pass"),
        (called_without_with, "without 'with'"),
        (adver_alone, "needs the gradients of a proxy pass"),
        (without_a_backward_pass, "needs the gradients of a proxy pass"),
        (gradients_used_twice, "needs the gradients of a proxy pass"),
        (undivided, "3 groups do not divide a batch of 7 images"),
        (one_value_a_channel, "more than one value a channel"),
        (lambda _: APART(nn.Sequential(nn.Linear(2, 2))), "Sequential has no BatchNorm"),
        (lambda _: APART(nn.DataParallel(nn.BatchNorm1d(2))), "use DistributedDataParallel"),
        (lambda _: APART(nn.BatchNorm1d(2), groups=-1), "groups must be 0 or more, got -1"),
        (lambda _: APART(nn.BatchNorm1d(2), -0.1), "epsilon must be 0 or more, got -0.1"),
        (lambda apart: apart.set_epsilon(float("nan")), "epsilon must be 0 or more, got nan"),
    ],
)
def test_wrong_use_is_a_clear_error(use: Callable[[APART], None], said: str) -> None:
    model, x, y = double_network()
    apart = APART(model, 0.1, 3)
    with pytest.raises((ApartError, ModelError), match=said) as caught:
        use(apart)
    assert isinstance(caught.value, AdvbenchError)
    apart = APART(model, 0.1, 3)
    step(apart, model, x, y)  # and the model is as usable as before


@pytest.mark.slow
def test_a_compiled_model_computes_the_same_and_is_compiled_once() -> None:
    torch.manual_seed(0)
    model = resnet20()
    model.layer1 = model.layer2 = nn.Sequential()  # fewer layers, compiled sooner
    model.layer3 = nn.Sequential(nn.Conv2d(16, 64, 3, stride=4), nn.BatchNorm2d(64), nn.ReLU())
    twin = copy.deepcopy(model)
    compiled = torch.compile(model)
    x, y = torch.randn(8, 3, 16, 16), torch.arange(8)
    aparts = APART(model, 0.1, 2), APART(twin, 0.1, 2)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()  # of what other tests have compiled, which a reset leaves
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        for _ in range(4):
            for apart, network in zip(aparts, (compiled, twin), strict=True):
                step(apart, network, x, y)  # type: ignore[arg-type]  # torch.compile returns a callable
            assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)
    for first, second in zip(model.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(first, second)
