"""The rows: each with its truth, and how that is known."""

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from advbench import Threat
from benchmarks.gallery import Around

from . import defenses as made
from .networks import Mean, Steps, held_out, linear, mlp, network
from .specimens import EPS, Images, Specimen, attacked, inside, itself, with_defense
from .truths import provable_of_linear, provable_of_lipschitz
from .unseen import UNSEEN


def _plain() -> nn.Module:
    return network("bundled")


def _robust() -> nn.Module:
    return network("small-cnn", EPS)


def _robust_mlp() -> nn.Module:
    return network("mlp", EPS)


def _by_one_pixel() -> nn.Module:
    model = linear()
    layer = model[1]  # type: ignore[index]
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
        layer.weight[1, 0], layer.bias[1] = 8.0, -4.0
        layer.bias[2:] = -20.0
    return model.eval()


def _one_pixel_images() -> Images:
    generator = torch.Generator().manual_seed(3)
    x, y = torch.rand((60, 1, 8, 8), generator=generator), torch.arange(60) % 2
    x[:, 0, 0, 0] = 0.1 + 0.8 * y
    return x, y


def _blurred_levels(x: Tensor) -> Tensor:
    return torch.sigmoid(12 * (x - 0.25)) / 2 + torch.sigmoid(12 * (x - 0.75)) / 2


def _many(*kinds: str) -> list[nn.Module]:
    return [network(kind) for kind in kinds]


def _shuffled() -> Images:
    x, y = held_out()
    return x, (y + 3) % 10


def _provable(bound: Callable[[nn.Module, Images, float], int], kind: str, eps: float) -> Callable[[], int]:
    return lambda: bound(network(kind), held_out(), eps)


STANDING: Final = (
    itself("adversarially trained convolutions", "stands", _robust),
    itself("adversarially trained layers", "stands", _robust_mlp),
    itself("adversarially trained, at a small radius", "stands", _robust, 0.05),
    itself("the plain network at a tiny radius", "stands", _plain, 0.01),
    itself("two adversarially trained networks' mean", "stands", lambda: Mean(_robust(), _robust_mlp())),
    itself("adversarially trained, log-probabilities", "stands", lambda: Steps(_robust(), _log_softmax)),
    itself("adversarially trained, logits divided by 10", "stands", lambda: Steps(_robust(), _cooled)),
    itself(
        "adversarially trained, behind a 16-bit round trip",
        "stands",
        lambda: Steps(made.through_half, _robust()),
    ),
    Specimen(
        name="adversarially trained, behind a smooth autoencoder of no strength",
        truth="stands",
        model=_robust,
        defenses={"own": nn.Identity()},
        left=attacked(_robust),
    ),
    Specimen(
        name="a linear classifier inside its provable radius",
        truth="stands",
        model=partial(network, "linear"),
        threat=Threat("linf", 0.03),
        left=_provable(provable_of_linear, "linear", 0.03),
    ),
    Specimen(
        name="the same, its logits a hundredfold",
        truth="stands",
        model=lambda: Steps(network("linear"), made.hundredfold),
        threat=Threat("linf", 0.03),
        left=_provable(provable_of_linear, "linear", 0.03),
    ),
    Specimen(
        name="a 1-Lipschitz network inside its provable radius",
        truth="stands",
        model=partial(network, "lipschitz"),
        threat=Threat("l2", 0.15),
        left=_provable(provable_of_lipschitz, "lipschitz", 0.15),
    ),
    Specimen(
        name="one pixel decides, out of reach by construction",
        truth="stands",
        model=_by_one_pixel,
        images=_one_pixel_images,
        left=lambda: 60,
    ),
)


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(1)


def _cooled(logits: Tensor) -> Tensor:
    return logits / 10


FALLING: Final = (
    itself("convolutions with BatchNorm", "falls", _plain),
    itself("layers", "falls", partial(network, "mlp")),
    itself("linear", "falls", partial(network, "linear")),
    itself("weights of 3 bits", "falls", lambda: made.few_bits(partial(network, "mlp"))),
    itself("the mean of three networks", "falls", lambda: Mean(*_many("bundled", "mlp", "linear"))),
    itself("a 16-bit round trip", "falls", lambda: Steps(made.through_half, _plain())),
    with_defense("shrunk and grown", "falls", made.shrunk_and_grown),
    with_defense("the median of three, by sorting", "falls", made.median_of_rows),
    with_defense("a denoising autoencoder", "falls", made.autoencoder()),
    with_defense("through NumPy, unchanged", "hides", made.nothing_before, network("bundled")),
)

HIDING: Final = (
    with_defense("three levels", "hides", made.levels, lambda x: network("bundled")(_blurred_levels(x))),
    with_defense("cosines rounded in NumPy", "hides", made.coarse_cosines, network("bundled")),
    with_defense("a Hopfield retrieval as a defense", "hides", made.retrieved, made.near_memories),
    inside(
        "three levels inside", lambda: Steps(made.levels, _plain()), lambda: Steps(_blurred_levels, _plain())
    ),
    inside(
        "dark or bright, by a choice",
        lambda: Steps(made.dark_or_bright, network("mlp", before=made.dark_or_bright)),
        lambda: Steps(lambda x: torch.sigmoid(8 * (x - 0.5)), network("mlp", before=made.dark_or_bright)),
    ),
    inside(
        "a steep ramp and a clamp",
        lambda: Steps(made.steep, network("mlp", before=made.steep)),
        lambda: Steps(lambda x: torch.sigmoid(8 * (x - 0.5)), network("mlp", before=made.steep)),
    ),
    inside(
        "one-hot codes of pixels",
        lambda: Steps(made.CodedPixels(), network("mlp", before=made.levels)),
        lambda: Steps(_blurred_levels, network("mlp", before=made.levels)),
    ),
    inside("logits bent along a sine", lambda: Around(_plain(), behind=made.bent), _plain),
    inside(
        "logits of layers bent along a sine",
        lambda: Around(network("mlp"), behind=made.bent),
        partial(network, "mlp"),
    ),
    inside("logits a hundredfold", lambda: Steps(_plain(), made.hundredfold), _plain),
    inside("logits in steps of two", lambda: Steps(_plain(), made.rounded_logits), _plain),
    inside("the largest logit's vote", lambda: Steps(_plain(), made.one_vote), _plain),
    inside(
        "the votes of three networks",
        lambda: Mean(*_many("bundled", "mlp", "linear"), behind=made.one_vote),
        lambda: Mean(*_many("bundled", "mlp", "linear"), behind=_log_softmax),
    ),
    inside(
        "a Hopfield retrieval inside", lambda: Steps(made.retrieved, _plain()), lambda: made.near_memories
    ),
    inside("five neighbours' votes", lambda: Steps(made.votes_of_neighbours), lambda: made.near_memories),
    inside(
        "nearest mean, squashed",
        lambda: Steps(made.nearest_prototype),
        lambda: lambda x: made.nearest_prototype(x).log(),
    ),
    inside("noise for a gradient", lambda: Steps(made.noisy_gradient, _plain()), _plain),
    inside("a gradient of the wrong sign", lambda: Steps(made.reversed_gradient, _plain()), _plain),
    inside("NaN for a gradient", lambda: Steps(made.undefined_gradient, _plain()), _plain),
    inside("pixels off the graph", lambda: Steps(Tensor.detach, _plain()), _plain),
    inside("its own gradient step before", lambda: made.Purified(_plain()), _plain),
)

OTHERS: Final = (
    Specimen(
        name="one of two networks at each call",
        truth="no function",
        model=lambda: made.EitherOne(_plain(), network("mlp")),
    ),
    Specimen(name="dropout left on", truth="no function", model=lambda: Steps(_plain(), _dropped)),
    Specimen(name="statistics of the batch", truth="no function", model=made.OfItsBatch),
    Specimen(name="the batch's mean taken off", truth="no function", model=lambda: Steps(_centred, _plain())),
    Specimen(name="untrained", truth="chance", model=lambda: mlp().eval()),
    Specimen(name="one class whatever comes", truth="chance", model=lambda: Steps(_plain(), _constant)),
    Specimen(name="the classes in another order", truth="chance", model=_plain, images=_shuffled),
)


def _dropped(logits: Tensor) -> Tensor:
    return nn.functional.dropout(logits, 0.1, training=True)


def _centred(x: Tensor) -> Tensor:
    return (x - x.mean(0) + 0.3).clamp(0, 1)


def _constant(logits: Tensor) -> Tensor:
    return 0.001 * logits + torch.eye(10)[4]


SPECIMENS: Final = (*STANDING, *FALLING, *HIDING, *OTHERS, *UNSEEN)
