"""Random numbers that belong to an image, not to a batch.

Each image has its own streams, told apart by a name (the rung, the restart, what the draw is for).
A number is a pure function of (seed, dataset index, stream name, position), computed by a counter-based
generator, so that batch size, order, sharding and resumed runs change nothing. No global generator is
touched.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3).
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = 0xFFFFFFFF


@dataclass(frozen=True)
class Draws:
    """The random streams of a batch of images.

    The same call on the same stream gives the same numbers; a second, independent draw needs a stream of
    another name.

    Args:
        seed: the run's seed.
        indices: dataset index of each image of the batch, `(n,)` int64, on the device that draws are for.
        name: which stream, `/`-separated.
    """

    seed: int
    indices: Tensor
    name: str = ""

    def stream(self, name: str | int) -> "Draws":
        """The stream called `name` below this one."""
        return Draws(self.seed, self.indices, f"{self.name}/{name}")

    def take(self, rows: Tensor | slice) -> "Draws":
        """The same streams for some images of the batch; `rows` is an index, a mask or a slice of it."""
        return Draws(self.seed, self.indices[rows], self.name)

    def filled_up(self, spare: int) -> "Draws":
        """The same streams, and those of the last image so many times more."""
        return Draws(self.seed, torch.cat([self.indices, self.indices[-1:].expand(spare)]), self.name)

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Independent uniform draws in [0, 1), multiples of 2**-24, `(n, *shape)` float32."""
        bits = self.words(math.prod(shape))
        return ((bits >> 8).to(torch.float32) * 2.0**-24).view(-1, *shape)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Independent standard normal draws, `(n, *shape)` float32.

        Box-Muller in float64, rounded to float32: vector and scalar versions of log and cos differ in
        the last bit of float64, which the rounding hides.
        """
        count = math.prod(shape)
        pairs = (count + 1) // 2
        bits = self.words(2 * pairs).to(_float64_device(self.indices)).to(torch.float64)
        u, v = ((bits + 0.5) * 2.0**-32).view(-1, 2, pairs).unbind(1)
        radius, angle = (-2.0 * u.log()).sqrt(), 2.0 * math.pi * v
        values = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]
        return values.to(torch.float32).to(self.indices.device).view(-1, *shape)

    def words(self, count: int) -> Tensor:
        """`count` words of 32 random bits for each image, `(n, count)` int64."""
        digest = hashlib.blake2b(f"{self.seed}{self.name}".encode(), digest_size=8).digest()
        key = (int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little"))
        block = torch.arange(math.ceil(count / 4), device=self.indices.device).view(1, -1)
        index = self.indices.view(-1, 1)
        block, index = block.expand(len(index), -1), index.expand(-1, block.shape[1])
        counter = (block, index & _LOW, index >> 32, torch.zeros_like(index))
        return torch.stack(philox(counter, key), dim=-1).flatten(1)[:, :count]


def philox(counter: Sequence[Tensor], key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10: four words of 32 random bits from four words of counter and two of key.

    Args:
        counter: four int64 tensors of one shape with values in [0, 2**32).
        key: two numbers in [0, 2**32).

    Returns:
        Four int64 tensors of the counter's shape with values in [0, 2**32).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # A product of two 32-bit words overflows int64 into its sign bit; its 64 bits are right all the same.
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((product1 >> 32) & _LOW) ^ c1 ^ k0,
            product1 & _LOW,
            ((product0 >> 32) & _LOW) ^ c3 ^ k1,
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3


def _float64_device(indices: Tensor) -> torch.device:
    return torch.device("cpu") if indices.device.type == "mps" else indices.device
