"""Two accuracies on the same images: their difference, its interval, and whether it could be chance."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

_Z = 1.959963984540054
_HALVINGS = 60  # of an interval of length 2: far below the spacing of floats near its ends


class Interval(NamedTuple):
    """A confidence interval of a fraction."""

    low: float
    high: float


class PairedCounts(NamedTuple):
    """How many of the same `n` images each of two judgements left standing, and both.

    Args:
        both: images that stand in both.
        only_first: images that stand in the first alone.
        only_second: images that stand in the second alone.
        n: all images.
    """

    both: int
    only_first: int
    only_second: int
    n: int

    @property
    def difference(self) -> float:
        """The first accuracy minus the second, as a fraction."""
        return (self.only_first - self.only_second) / self.n

    @property
    def interval(self) -> Interval:
        """Its 95 % score interval (see `tango_interval`)."""
        return tango_interval(self.only_first, self.only_second, self.n)

    @property
    def p_value(self) -> float:
        """McNemar's exact two-sided p (see `mcnemar_exact`)."""
        return mcnemar_exact(self.only_first, self.only_second)


def count_pairs(first: ArrayLike, second: ArrayLike) -> PairedCounts:
    """Count the images that stand in both, in one alone, and in neither.

    Args:
        first: whether each image stands, `(n,)` bool.
        second: the same for the same images in the same order.

    Raises:
        ValueError: of different length, or empty.
    """
    one, other = np.asarray(first, bool), np.asarray(second, bool)
    if one.shape != other.shape or not one.size:
        raise ValueError(f"need the same images on both sides, got {one.size} and {other.size}")
    return PairedCounts(
        both=int((one & other).sum()),
        only_first=int((one & ~other).sum()),
        only_second=int((~one & other).sum()),
        n=one.size,
    )


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test (McNemar 1947), conditional on the discordant pairs.

    Were the two accuracies the same, each of the `m = b + c` images on which they differ would fall on
    either side with probability 1/2: `p = min(1, 2 sum_{k <= min(b, c)} binomial(m, k) / 2^m)`. Without
    such images p is 1.

    Args:
        only_first: b, images that stand in the first alone.
        only_second: c, images that stand in the second alone.

    Returns:
        p in [0, 1]; 0.0 where it is below the smallest float.

    Raises:
        ValueError: a negative count.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"counts cannot be negative, got {only_first} and {only_second}")
    m, k = only_first + only_second, min(only_first, only_second)
    # The largest term exactly; each one before it is smaller by a known ratio.
    term = total = math.comb(m, k) / (1 << m)
    while k > 0 and term > total * 1e-17:
        term *= k / (m - k + 1)
        total += term
        k -= 1
    return min(1.0, 2 * total)


def tango_interval(only_first: int, only_second: int, n: int, z: float = _Z) -> Interval:
    """The score interval of a difference of paired proportions (Tango 1998), 95 % by default.

    It holds every difference `d` that a score test does not reject:

        |b - c - n d| <= z sqrt(n (2 q(d) + d (1 - d)))

    with `q(d)`, the likeliest probability of `c` at that difference, the larger root of
    `2n q^2 + (-b - c + (2n - b + c) d) q - c d (1 - d) = 0`. Unlike the textbook interval it keeps its width
    where few pairs or none are discordant, and stays inside [-1, 1].

    Args:
        only_first: b, images that stand in the first alone.
        only_second: c, images that stand in the second alone.
        n: all images.
        z: quantile of the normal distribution.

    Raises:
        ValueError: counts that cannot be.
    """
    b, c = only_first, only_second
    if min(b, c) < 0 or n < 1 or b + c > n:
        raise ValueError(f"need 0 <= b, 0 <= c and b + c <= n with n > 0, got {b}, {c} of {n}")

    def outside(d: float) -> bool:
        linear = -b - c + (2 * n - b + c) * d
        q = (math.sqrt(max(0.0, linear * linear + 8 * n * c * d * (1 - d))) - linear) / (4 * n)
        return (b - c - n * d) ** 2 > z * z * n * max(0.0, 2 * q + d * (1 - d))

    middle = (b - c) / n
    return Interval(_last_inside(outside, middle, -1.0), _last_inside(outside, middle, 1.0))


def _last_inside(outside: Callable[[float], bool], inner: float, outer: float) -> float:
    """The point between `inner`, which is inside, and `outer` where a test begins to reject."""
    if not outside(outer):
        return outer
    for _ in range(_HALVINGS):
        middle = (inner + outer) / 2
        inner, outer = (inner, middle) if outside(middle) else (middle, outer)
    return inner
