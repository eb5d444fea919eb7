"""JPEG 10 -> 5 bits -> median 3x3 before LeNet5 on MNIST: what each substitute leaves, and what the search.

    python -m benchmarks.substitute_search --checkpoint mnist_lenet5_clntrained.pt --data-root data/mnist

Every line is PGD with the same steps, from the same starting points; the search lets its best two attack, the
second what the first has left.
"""

import argparse
import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import scipy.ndimage
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from advbench import Placement, Threat, evaluate
from advbench.attacks import PGD
from advbench.checkpoint.load import load_checkpoint
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.models.load import build_network
from advbench.spec import Spec
from advbench.substitutes import average_pool

_QUALITY = 10
_SIDE = 8
# ITU-T T.81, table K.1, scaled to quality 10 as libjpeg does: 50 * table, rounded down, in 1..255.
_TABLE = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
            18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98
            112 100 103 99"""


@dataclass(frozen=True)
class Jpeg:
    """PIL's codec at quality 10 on grey images."""

    substitutes: ClassVar[tuple[str, ...]] = ("soft", "smooth", "learned", "identity")

    def __call__(self, x: Tensor) -> Tensor:
        """The decoded images."""
        decoded = []
        for image in (x * 255.0).round().to(torch.uint8)[:, 0].numpy():
            file = io.BytesIO()
            Image.fromarray(image).save(file, "JPEG", quality=_QUALITY)
            decoded.append(np.array(Image.open(file), dtype=np.float32) / 255.0)
        return torch.from_numpy(np.stack(decoded))[:, None]

    def soft(self, x: Tensor, width: float = 0.25) -> Tensor:
        """The same transform with steps smoothed by a Gaussian of so many quantisation steps."""
        h, w = x.shape[2:]
        padded = F.pad(x, (0, -w % _SIDE, 0, -h % _SIDE), mode="replicate")
        blocks = padded.unfold(2, _SIDE, _SIDE).unfold(3, _SIDE, _SIDE)
        dct, table = _dct(), _table()
        z = dct @ (blocks - 128 / 255) @ dct.T / table
        below = z.detach().floor()
        above = torch.stack([(z - below - k - 0.5) / width for k in range(-3, 4)])
        smooth = below - 3.0 + torch.special.ndtr(above).sum(0)
        decoded = dct.T @ (smooth * table) @ dct + 128 / 255
        whole: Tensor = decoded.permute(0, 1, 2, 4, 3, 5).reshape(padded.shape)
        return whole[:, :, :h, :w]

    def smooth(self, x: Tensor) -> Tensor:
        """An average pool."""
        return average_pool(x)


@dataclass(frozen=True)
class Bits:
    """Five bits."""

    substitutes: ClassVar[tuple[str, ...]] = ("identity",)

    def __call__(self, x: Tensor) -> Tensor:
        """32 levels."""
        return (x * 31).round() / 31


@dataclass(frozen=True)
class Median:
    """SciPy's median of 3x3."""

    substitutes: ClassVar[tuple[str, ...]] = ("smooth", "learned", "identity")

    def __call__(self, x: Tensor) -> Tensor:
        """The filtered images."""
        return torch.from_numpy(scipy.ndimage.median_filter(x.numpy(), size=(1, 1, 3, 3), mode="reflect"))


def _dct() -> Tensor:
    k = torch.arange(_SIDE)
    basis = 0.5 * torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / (2 * _SIDE))
    basis[0] /= math.sqrt(2.0)
    return basis


def _table() -> Tensor:
    table = torch.tensor([float(each) for each in _TABLE.split()]).view(_SIDE, _SIDE)
    return ((table * (5000 // _QUALITY) + 50) / 100).floor().clamp(1, 255) / 255.0


NAMED = (
    "identity",
    "smooth",
    "learned",
    "finite-difference",
    "soft+identity+identity",
    "soft+identity+smooth",
)


def main(words: Sequence[str] | None = None) -> None:
    """Attack and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--calibration", type=int, default=64)
    parser.add_argument("--only", nargs="*", default=[*NAMED, "search"])
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    spec = Spec("lenet5")
    network = load_checkpoint(
        options.checkpoint, lambda: build_network(spec, 10), spec, torch.device("cpu")
    ).network
    images = load_dataset("mnist", Place(root=options.data_root, split="test"))
    chain = [Placement(Jpeg()), Placement(Bits()), Placement(Median())]
    write: Callable[[str], None] = lambda line: print(line, flush=True)  # noqa: E731
    write(f"PGD, {options.steps} steps, eps 0.15, first {options.images} images; standing")
    for name in options.only:
        began = time.process_time()
        found = evaluate(
            network,
            images,
            threat=Threat("linf", 0.15),
            attacks={"pgd": PGD(steps=options.steps)},
            defenses={"chain": chain},
            substitute=name,
            calibration=options.calibration,
            indices=range(options.images),
            batch_size=100,
            note=lambda line: write(f"  {line}"),
        )
        rates = found.rows[1].rates
        seconds = time.process_time() - began
        if name == options.only[0]:
            for rung in ("clean", "shattered"):
                write(f"{rung:28}{rates[rung].accuracy:7.1%}")
        write(
            f"{name:28}{rates['bpda'].accuracy:7.1%}  {seconds:6.0f} s  {found.heading.substitutes['chain']}"
        )
        for each in found.candidates:
            agreement = "" if each.agreement is None else f"{each.agreement:6.3f}"
            write(f"  {each.substitute:32}{each.standing}/{each.n} {agreement} {each.rank or ''} {each.note}")


if __name__ == "__main__":
    main()
