"""Networks whose copies share a state with them: a copy attacks as the network would, or is not used."""

import functools
import runpy
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Copies, Evaluation, Hooks, Placement, Threat, evaluate
from advbench.attacks import PGD
from advbench.speed import batch_size
from advbench.speed.agreement import CLOSELY, ROUGHLY, disagreement, fresh_images, gradient_error
from tests.small import Cutting, images, ready

KEPT: Final[dict[str, Tensor]] = {}
BY_IDENTITY: Final[dict[int, nn.Module]] = {}
LOCAL: Final = threading.local()


class Shared(nn.Module):
    """A network that uses its features twice, once by way of what a subclass keeps of them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 16)
        )
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(0.1 * self.body(x) + 0.9 * self.again(x))
        return logits

    def again(self, x: Tensor) -> Tensor:
        """The features once more."""
        raise NotImplementedError


class HookedDictionary(Shared):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Tensor] = {}
        self.body.register_forward_hook(lambda _module, _inputs, output: self.kept.update(last=output))

    def again(self, x: Tensor) -> Tensor:
        return self.kept["last"][: len(x)]  # which also fits where it is stale


class Closure(Shared):
    def __init__(self) -> None:
        super().__init__()
        self.kept: Tensor = torch.zeros(0)
        self.read: Callable[[], Tensor] = lambda: self.kept
        self.body.register_forward_hook(self.keep)

    def keep(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.kept = output

    def again(self, _x: Tensor) -> Tensor:
        return self.read()


class Global(Shared):
    def __init__(self) -> None:
        super().__init__()
        self.body.register_forward_hook(lambda _module, _inputs, output: KEPT.update(last=output))

    def again(self, _x: Tensor) -> Tensor:
        return KEPT["last"]


class BoundMethod(Shared):
    def __init__(self) -> None:
        super().__init__()
        self.read = self.body.forward

    def again(self, x: Tensor) -> Tensor:
        features: Tensor = self.read(x)  # type: ignore[no-untyped-call]  # of torch
        return features


class Cached(Shared):
    def __init__(self) -> None:
        super().__init__()
        self.read = functools.lru_cache(maxsize=1)(self.body.forward)

    def again(self, x: Tensor) -> Tensor:
        features: Tensor = self.read(x)
        return features


class Reader(nn.Module):
    """Knows the network that it is a part of, and reads what that keeps."""

    def __init__(self, parent: "WeakReference") -> None:
        super().__init__()
        self.parent = weakref.ref(parent)

    def forward(self) -> Tensor:
        parent = self.parent()
        assert parent is not None
        return parent.kept


class WeakReference(Shared):
    def __init__(self) -> None:
        super().__init__()
        self.kept: Tensor = torch.zeros(0)
        self.reader = Reader(self)

    def again(self, x: Tensor) -> Tensor:
        self.kept = self.body(x)
        features: Tensor = self.reader()
        return features


class ClassAttribute(Shared):
    last = torch.zeros(0)

    def again(self, x: Tensor) -> Tensor:
        ClassAttribute.last = self.body(x)
        return type(self).last


class ThreadLocal(Shared):
    def again(self, x: Tensor) -> Tensor:
        LOCAL.last = self.body(x)
        features: Tensor = LOCAL.last
        return features


def features_of(network: Shared, x: Tensor) -> Tensor:
    features: Tensor = network.body(x)
    return features


class Partial(Shared):
    def __init__(self) -> None:
        super().__init__()
        self.read = functools.partial(features_of, self)

    def again(self, x: Tensor) -> Tensor:
        return self.read(x)


class Registered(Shared):
    """Is known by its identity, which a copy does not have."""

    def __init__(self) -> None:
        super().__init__()
        BY_IDENTITY[id(self)] = self.body

    def again(self, x: Tensor) -> Tensor:
        features: Tensor = BY_IDENTITY[id(self)](x)
        return features


class NeverCopied(Shared):
    """Gives itself where it is copied, so that what is done to the copy is done to it."""

    def __deepcopy__(self, _memo: object) -> "NeverCopied":
        return self

    def again(self, x: Tensor) -> Tensor:
        features: Tensor = self.body(x)
        return features


class Keeping(Shared):
    """Keeps its features for whoever wants them."""

    def again(self, x: Tensor) -> Tensor:
        kept: Tensor = self.body(x)
        self.kept = kept
        return kept


def undefended(_network: Shared) -> dict[str, Placement]:
    return {}


def reading(network: Shared) -> dict[str, Placement]:
    """A defense of the logits that reads what the network keeps of the same pass."""
    torch.manual_seed(1)
    weights = torch.randn(16, 3)

    def with_features(logits: Tensor) -> Tensor:
        kept: Any = network.kept
        corrected: Tensor = logits + 4.0 * kept @ weights
        return corrected

    return {"reading": Placement(with_features, "logits")}


def sharing(network: Shared) -> dict[str, Placement]:
    """A defense of the input that runs modules of the network."""

    class Purifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network.body

        def forward(self, x: Tensor) -> Tensor:
            features: Tensor = self.body(x)
            return (x + 0.01 * features.mean(1)[:, None, None, None]).clamp(0.0, 1.0)

    return {"sharing": Placement(Purifier())}


NOT_USED: Final = "attacks may take longer, and find the same: "
EITHER: Final = "a copy of the model with BatchNorm folded or in channels-last memory "

SHARING: Final[dict[str, tuple[type[Shared], Callable[[Shared], dict[str, Placement]], str]]] = {
    "a dictionary that a hook fills": (HookedDictionary, undefended, "gives other logits"),
    "a closure": (Closure, undefended, f"{EITHER}fails (RuntimeError: The size of tensor"),
    "a global that a hook fills": (Global, undefended, ""),
    "a bound method": (BoundMethod, undefended, ""),
    "a cached method": (Cached, undefended, ""),
    "a weak reference": (WeakReference, undefended, f"{EITHER}fails (RuntimeError: The size of tensor"),
    "an attribute of the class": (ClassAttribute, undefended, ""),
    "a state of the thread": (ThreadLocal, undefended, ""),
    "a partial function": (Partial, undefended, ""),
    "a table by identity": (Registered, undefended, "fails (KeyError"),
    "itself": (NeverCopied, undefended, f"{EITHER}has parts of the model itself, and is not used"),
    "features that a defense reads": (Keeping, reading, "behind reading, a copy of the model fails"),
    "modules that a defense runs": (Keeping, sharing, ""),
}
"""What a network shares with its copies; and what is said of these, where they cannot be used."""


def attacked(name: str, *, fast: bool = True, **settings: Any) -> tuple[Evaluation, list[str]]:
    """A network of the table under attack, and what was said."""
    make, defenses, _ = SHARING[name]
    network = make().eval()
    network.body[1].running_mean = torch.full((4,), 0.2)
    x = images(40)
    said: list[str] = []
    with torch.no_grad():
        network.head.bias.sub_(network(x).mean(0))  # so that all classes are told
        y = network(x).argmax(1)
    found = evaluate(
        network,
        TensorDataset(x, y),
        threat=Threat("linf", 0.03),
        attacks={"pgd": PGD(steps=5)},
        defenses=defenses(network),
        copies=Copies(fast=fast),
        observer=Hooks(note=said.append),
        **settings,
    )
    return found, said


@pytest.mark.parametrize("name", SHARING)
def test_what_a_network_shares_with_a_copy_changes_no_result(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_size, "_SECONDS", 0.02)
    honest = attacked(name, fast=False, batch_size=8)[0].samples
    standing = honest[honest["rung"] == "shattered"]["robust"].mean()
    assert 0.0 < standing < 1.0, "the attack decides something"
    for size in (8, "auto"):
        found, said = attacked(name, batch_size=size)
        pd.testing.assert_frame_equal(found.samples, honest, rtol=1e-3, atol=1e-4)
        words = SHARING[name][2]
        said = [note for note in said if not note.startswith("substitutes for")]
        assert len(said) == (1 if words else 0)
        assert all(words in each and each.startswith(NOT_USED) for each in said), said


@pytest.mark.slow
def test_the_network_of_the_shared_cases_falls_as_without_a_copy(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(shared / "cases" / "forward_hook.py"), run_name="__main__")
    fast, honest = capsys.readouterr().out.splitlines()
    assert fast.removeprefix("fast True ") == honest.removeprefix("fast False ")
    assert 0.4 < float(honest.rpartition(" ")[2].rstrip("}")) < 0.65, "with stale features 0.887 were left"


def test_images_are_fresh_and_in_the_box() -> None:
    x = images(4)
    fresh = fresh_images(x, 6, 1)
    assert fresh.shape == (6, 1, 4, 4)
    assert bool(((fresh >= 0.0) & (fresh <= 1.0)).all())
    assert not any(torch.equal(one, other) for one in fresh for other in [*x, *fresh_images(x, 6, 2)])


class Telling(nn.Module):
    """Knows whether it is a copy, by the identity of its first self."""

    def __init__(self, otherwise: Callable[[Tensor, list[int]], Tensor]) -> None:
        super().__init__()
        self.first, self.otherwise, self.calls = id(self), otherwise, Uncopied()
        self.linear = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.flatten(1))
        if id(self) != self.first:
            return self.otherwise(logits, self.calls)
        return logits + float(len(self.calls))


class Uncopied(list[int]):
    """A list that a copy shares."""

    def __deepcopy__(self, _memo: object) -> "Uncopied":
        return self


def counted(logits: Tensor, calls: list[int]) -> Tensor:
    calls.append(1)
    return logits


@pytest.mark.parametrize(
    ("otherwise", "said"),
    [
        (lambda logits, _: logits, ""),
        (lambda logits, _: logits * 1.001, "gives other logits (by"),
        (lambda logits, _: logits.detach(), "gives other gradients (by 1.0e+00 of an image's)"),
        (lambda logits, _: logits.detach() + 0.9 * (logits - logits.detach()), "gives other gradients (by 1"),
        (lambda logits, _: logits * torch.nan, "gives other logits (by nan"),
        (counted, "gives other logits"),
    ],
)
def test_a_copy_that_differs_is_told(otherwise: Any, said: str) -> None:
    torch.manual_seed(0)
    model = ready(Telling(otherwise))
    made = ready(Telling(otherwise))
    made.load_state_dict(model.state_dict())
    made.first, made.calls = model.first, model.calls
    found = disagreement(model, made, images(), CLOSELY, 0)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_a_copy_whose_pass_changes_the_model_is_told() -> None:
    """Here the model answers as the copy does, as long as nothing but these two passes came before."""
    answers = [1.0, 1.0, 1.0, 1.0, 2.0]

    def model(x: Tensor) -> Tensor:
        return answers.pop(0) * x.flatten(1)

    assert disagreement(model, model, images(), CLOSELY, 0) == "changes what the model itself says"


@pytest.mark.parametrize(
    ("found", "error"),
    [
        ([[3.0, 4.0], [0.0, 0.0]], 0.0),
        ([[3.0, 4.5], [0.0, 0.0]], 0.1),
        ([[3.0, 4.0], [0.005, 0.0]], 1.0),
        ([[0.0, 0.0], [0.0, 0.0]], 1.0),
    ],
)
def test_the_error_of_a_gradient_is_that_of_the_worst_image(found: list[list[float]], error: float) -> None:
    meant = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert gradient_error(meant, torch.tensor(found)) == pytest.approx(error)
    nothing = torch.zeros(2, 2)
    assert gradient_error(nothing, nothing) == 0.0
    assert gradient_error(nothing, meant) == float("inf")


def test_a_network_that_casts_computes_so_in_its_fast_copy_and_not_in_bfloat16() -> None:
    said: list[str] = []
    for where in ("input", "features"):
        model = ready(Cutting(where, torch.float16))
        made = Copies(precision="bf16").of(model, images(), (), said.append)
        assert made.working is not None
        assert not disagreement(model, made.working, images(), CLOSELY, 9)
        if made.rough is not None:
            assert not disagreement(model, made.rough, images(), ROUGHLY, 9)
    assert len(said) == 1
    assert said[0].startswith("attacking in float32: the model in bfloat16 fails (RuntimeError: ")
