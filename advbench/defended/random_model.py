"""A classifier that draws random numbers in its own forward pass, with streams of its own for each image."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ClassVar, Final

from torch import Tensor, nn

from advbench.draws.draws import Draws
from advbench.draws.sampling import content_keys, takes_draws, under_draws

_streams: Final[ContextVar[Draws | None]] = ContextVar("streams of a random model", default=None)
"""Of the forward pass that is under way: the network stands behind wrappers that pass pixels alone."""


class RandomModel(nn.Module):
    """A network that is random, as an evaluation takes it: drawn for attacks, and for the judge otherwise.

    Dropout that stays on, `torch.randn` or `random.choice` in the forward pass. A network whose `forward`
    takes `draws` is given the images' streams (`advbench.Draws`), and sees whole batches. Any other draws
    from the generators of torch, NumPy and Python: these are seeded for each image and draw, and put back, so
    the network sees one image at a time, which costs what batches save. What draws from a generator of its
    own cannot be seeded, and is told.

    Outside an evaluation its draws are a matter of the pixels alone.

    Args:
        network: pixels `(n, c, h, w)`, in evaluation mode, to logits `(n, k)`.
    """

    random: ClassVar[bool] = True

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def takes_draws(self) -> bool:
        """Whether the network is given its draws, and so takes batches."""
        return takes_draws(self.network)

    def forward(self, x: Tensor) -> Tensor:
        """Logits in one draw of each image, `(n, k)`."""
        draws = _streams.get()
        if draws is None:
            draws = Draws(0, content_keys(x), "/random/alone")
        return under_draws(self.network, draws)(x)


@contextmanager
def streams_of_model(draws: Draws | None) -> Iterator[None]:
    """Meanwhile, random models draw from these streams; without any, from those of the pixels."""
    token = _streams.set(draws)
    try:
        yield
    finally:
        _streams.reset(token)


def draws_inside(model: nn.Module) -> bool:
    """Whether a model holds a network that was said to be random."""
    return any(isinstance(module, RandomModel) for module in model.modules())


def goes_alone(model: nn.Module) -> bool:
    """Whether a model draws from generators of the process, and so takes one image at a time."""
    return any(isinstance(module, RandomModel) and not module.takes_draws for module in model.modules())
