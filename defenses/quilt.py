"""Image quilting: an image is sewn together anew from patches of clean ones."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import add
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from advbench.defended.borders import extended
from advbench.defended.substitutes import average_pool
from advbench.draws.draws import Draws
from advbench.errors import DefenseError, SpecError

from .arrays import read_array
from .images import check_images

_ADVICE = (
    "make one of clean training images with advbench.defenses.patch_bank(images), keep it with "
    "numpy.save('bank.npy', bank), and write quilt:bank=bank.npy"
)


@dataclass(frozen=True, kw_only=True)
class Quilt:
    """Replace an image's patches by similar ones of clean images, sewn where they differ least.

    Guo, Rana, Cisse, van der Maaten 2018, "Countering adversarial images using input transformations",
    section 4, with patches of 5x5 that overlap by 2. Each patch is replaced by one of its `neighbours`
    nearest in the bank, drawn evenly, and neighbours are joined by minimum-error boundary cuts (Efros,
    Freeman 2001, "Image quilting for texture synthesis and transfer", section 2.2). Differs from Efros and
    Freeman, who sew patch after patch: here the patches of each row are sewn first, and the rows then, so
    that no cut depends on another. The authors' bank holds 1,000,000 patches; time and, with a chunk of
    an image's patches, memory grow with it.

    Args:
        bank: patches `(m, c, s, s)` of clean training images, in the units of the input: a `.npy` file, an
            `.npz` file with an array `bank`, or a tensor. There is none by default.
        neighbours: how many of the nearest patches to draw from.
        overlap: of neighbouring patches, in pixels, at most half of their side.
        digest: of the bank's contents, so that a run knows which one it had; not to be given.

    Raises:
        SpecError: no bank, one that cannot be used, or a parameter outside its range.
    """

    random: ClassVar[bool] = True
    substitutes: ClassVar[tuple[str, ...]] = ("identity", "smooth")

    bank: str | Path | Tensor = field(default="", compare=False, repr=False)
    neighbours: int = 10
    overlap: int = 2
    digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        patches = self._patches
        size = patches.shape[-1]
        if not 1 <= self.neighbours <= len(patches):
            raise SpecError(
                f"quilt: neighbours must lie in 1..{len(patches)}, the bank's size, got {self.neighbours}."
            )
        if not 1 <= self.overlap <= size // 2:
            raise SpecError(f"quilt: overlap must lie in 1..{size // 2} for this bank, got {self.overlap}.")
        held = hashlib.blake2b(patches.numpy().tobytes(), digest_size=16).hexdigest()
        object.__setattr__(self, "digest", held)

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """The quilted images, `(n, c, h, w)` as `x`.

        Raises:
            DefenseError: something else than images, or the bank's patches have another number of channels.
        """
        check_images(x, "quilt")
        if len(x) == 0:
            return x.clone()
        patches, wide = self._patches.to(x.device), x.detach().float()
        if patches.shape[1] != x.shape[1]:
            raise DefenseError(
                f"quilt: the bank's patches have {patches.shape[1]} channels, the images {x.shape[1]}."
            )
        size, stride = patches.shape[-1], patches.shape[-1] - self.overlap
        missing = [max(size - side, -(side - size) % stride) for side in x.shape[2:]]
        wide = extended(wide, 0, max(missing), twice=True)
        wide = wide[..., : x.shape[2] + missing[0], : x.shape[3] + missing[1]]
        cut = wide.unfold(2, size, stride).unfold(3, size, stride)  # (n, c, rows, columns, s, s)
        _, _, rows, columns, _, _ = cut.shape
        queries = cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        rank = (draws.uniform((rows * columns, 1)) * self.neighbours).long().to(x.device)
        # One image at a time: sums that do not depend on how many come together.
        nearest = torch.stack([_nearest(query, patches, self.neighbours) for query in queries])
        tiles = patches[nearest.gather(2, rank).view(len(x), rows, columns)]
        return _joined(tiles, self.overlap)[..., : x.shape[2], : x.shape[3]].to(x.dtype)

    def smooth(self, x: Tensor, draws: Draws) -> Tensor:  # noqa: ARG002  # as every random defense's
        """The mean of each pixel's window as large as a patch."""
        return average_pool(x, self._patches.shape[-1])

    @cached_property
    def _patches(self) -> Tensor:
        """The bank's patches, `(m, c, s, s)` float32; no field, so that no record of a run holds them."""
        return _checked(_read_bank(self.bank))


def patch_bank(images: Tensor, *, size: int = 5, count: int = 10_000, seed: int = 0) -> Tensor:
    """Patches for `Quilt`, cut out of clean training images at random places.

    Args:
        images: `(m, c, h, w)`, in the units that the defense will see: pixels in [0, 1] at the input.
        size: side of a patch, in pixels.
        count: how many.
        seed: of the choice of images and places.

    Returns:
        The patches, `(count, c, size, size)` float32.

    Raises:
        SpecError: images that are none, or smaller than a patch.
    """
    if images.dim() != 4 or len(images) == 0 or min(images.shape[2:]) < size or size < 2 or count < 1:
        raise SpecError(
            f"patch_bank: {count} patches of side {size} (2 at least) cannot be cut out of images "
            f"{tuple(images.shape)}; give a tensor (m, c, h, w)."
        )
    generator = torch.Generator().manual_seed(seed)
    whole = images.unfold(2, size, 1).unfold(3, size, 1)  # (m, c, h - s + 1, w - s + 1, s, s)
    m, _, h, w, _, _ = whole.shape
    at = [torch.randint(size, (count,), generator=generator).to(images.device) for size in (m, h, w)]
    return whole[at[0], :, at[1], at[2]].float().cpu().contiguous()


_CHUNK = 512
"""Patches of an image that are compared with the bank at once."""


def _nearest(queries: Tensor, bank: Tensor, count: int) -> Tensor:
    """Which of the bank's patches are nearest in the Euclidean distance, the nearest first.

    Args:
        queries: `(q, d)`.
        bank: `(m, ...)`, d numbers each.
        count: how many.

    Returns:
        `(q, count)` int64.
    """
    flat = bank.flatten(1)
    half = 0.5 * flat.square().sum(1)  # |q - b|^2 / 2 = |q|^2 / 2 - (q b - |b|^2 / 2)
    chunks = (torch.addmm(half, word, flat.T, beta=-1.0) for word in torch.split(queries, _CHUNK))
    return torch.cat([chunk.topk(count, dim=1).indices for chunk in chunks])


def _joined(tiles: Tensor, overlap: int) -> Tensor:
    """Sew tiles `(n, rows, columns, c, s, s)` to images `(n, c, h, w)`: each row, and then the rows."""
    n, rows, _, c, size, _ = tiles.shape
    strips = _sewn(tiles.flatten(0, 1), overlap).view(n, rows, c, size, -1)
    return _sewn(strips.transpose(-1, -2), overlap).transpose(-1, -2)


def _sewn(parts: Tensor, overlap: int) -> Tensor:
    """Sew parts that stand side by side, each pair along the path where they differ least.

    Args:
        parts: `(n, m, c, l, s)`, m parts of width s and length l.
        overlap: columns that a part shares with the next.

    Returns:
        `(n, c, l, m * (s - overlap) + overlap)`.
    """
    left, right = parts[:, :-1, ..., -overlap:], parts[:, 1:, ..., :overlap]
    error = reduce(add, (left - right).square().unbind(2))
    column = torch.arange(overlap, device=parts.device)
    seam = torch.where((column < _cheapest_path(error)[..., None])[:, :, None], left, right)
    begin = torch.cat([parts[:, :1, ..., :overlap], seam], dim=1)
    body = torch.cat([begin, parts[..., overlap : parts.shape[-1] - overlap]], dim=-1)
    return torch.cat([*body.unbind(1), parts[:, -1, ..., -overlap:]], dim=-1)


def _cheapest_path(error: Tensor) -> Tensor:
    """The path from end to end of least summed error that moves by at most one column a step.

    Efros, Freeman 2001, equation 1.

    Args:
        error: `(..., l, o)`.

    Returns:
        The path's column at each step, `(..., l)` int64.
    """
    cost = [error[..., 0, :]]
    for step in error.unbind(-2)[1:]:
        cost.append(step + _around(cost[-1]).amin(-1))
    column = cost[-1].argmin(-1, keepdim=True)
    path = [column]
    for row in reversed(cost[:-1]):
        near = _around(row).gather(-2, column[..., None].expand(*column.shape, 3)).squeeze(-2)
        column = column + near.argmin(-1, keepdim=True) - 1
        path.append(column)
    return torch.cat(path[::-1], dim=-1)


def _around(cost: Tensor) -> Tensor:
    """Each column's cost between those of its neighbours, infinite beyond the ends; `(..., o, 3)`."""
    return torch.nn.functional.pad(cost, (1, 1), value=torch.inf).unfold(-1, 3, 1)


def _read_bank(bank: str | Path | Tensor) -> Tensor:
    if isinstance(bank, Tensor):
        return bank.detach().cpu()
    if not str(bank):
        raise SpecError(f"quilt needs a bank of clean patches: {_ADVICE}.")
    return read_array(bank, "bank", "quilt", _ADVICE)


def _checked(patches: Tensor) -> Tensor:
    shape = tuple(patches.shape)
    if patches.dim() != 4 or shape[-1] != shape[-2] or shape[-1] < 2 or 0 in shape:
        raise SpecError(f"quilt: a bank has the shape (patches, channels, side, side), got {shape}.")
    if not patches.is_floating_point() or not bool(patches.isfinite().all()):
        raise SpecError(
            "quilt: a bank holds finite numbers in the units of the input, pixels in [0, 1], "
            f"got {patches.dtype}."
        )
    return patches.float().contiguous()
