"""BatchNorm by the statistics of the batch that is asked about, in place of those of training."""

from copy import deepcopy
from functools import cache

from torch import Tensor, nn

from advbench.models.digits_cnn import DigitsCNN
from benchmarks.adaptive.ascent import Classifier, margin, standing
from benchmarks.adaptive.digits import COUNT, train
from benchmarks.adaptive.line import Line


@cache
def _trained() -> nn.Module:
    return train(DigitsCNN, epochs=12)


def network() -> nn.Module:
    """A trained network whose BatchNorm layers forget their statistics."""
    model = deepcopy(_trained())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = module.running_var = None
            module.track_running_stats = False
    return model


def against_batch(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """All images of the batch are the attacker's: the gradient goes through what they share.

    An image counts by what the whole last batch comes to: no image is taken from another batch.
    """
    model: Classifier = network()

    def loss(x_adv: Tensor) -> Tensor:
        return margin(model(x_adv), y).clamp(max=1.0)

    def stands(x_adv: Tensor) -> Tensor:
        predicted: Tensor = model(x_adv).argmax(1)
        return predicted == y

    return standing(loss, stands, x, eps, restarts=1, look_every=100)


LINE = Line(
    name="test-time BatchNorm",
    kind="adaptation",
    paper="Nado et al. 2020",
    options=f"--model benchmarks.adaptive.batch_statistics:network --episodic {COUNT} "
    "--gradient-free square:queries=200",
    adaptive=against_batch,
    right=("not robust",),
)
