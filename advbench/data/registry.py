"""The data sets that can be named on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from advbench.models.registry import IMAGENET, PIXELS, Normalization
from advbench.names.registry import Entry


@dataclass(frozen=True, kw_only=True)
class DatasetEntry(Entry):
    """A data set that can be named.

    Args:
        normalization: the constants that most models of it are trained with.
        eps: the L-inf radius that most papers attack it with, as they write it.
        eps_l2: likewise the L2 radius.
        eps_l1: likewise the L1 radius.
        expects: what `--data-root` must hold, for messages; empty if nothing is needed.
        downloads: whether it can be fetched.
        mirrored: whether an image and its mirror image are of one class, so that training may flip it.
        named: whether a name that is no path is looked up elsewhere.
    """

    normalization: Normalization
    eps: str
    eps_l2: str = "0.5"
    eps_l1: str = "12"
    expects: str = ""
    downloads: bool = False
    mirrored: bool = False
    named: bool = False


def _torchvision(
    name: str,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    radii: tuple[str, str],
    expects: str,
    *,
    mirrored: bool = False,
) -> DatasetEntry:
    return DatasetEntry(
        factory=f"advbench.data.sources:{name}",
        summary=f"torchvision's {name}",
        source="torchvision.datasets",
        normalization=Normalization(mean, std),
        eps=radii[0],
        eps_l2=radii[1],
        expects=expects,
        downloads=True,
        mirrored=mirrored,
    )


DATASETS: Final[Mapping[str, DatasetEntry]] = {
    "digits": DatasetEntry(
        factory="advbench.data.sources:digits",
        summary="scikit-learn's 1,797 handwritten digits, 8x8 grey; no download",
        source="Alpaydin, Kaynak 1998",
        normalization=PIXELS,
        eps="0.15",
        eps_l1="2",
    ),
    "mnist": _torchvision("mnist", (0.1307,), (0.3081,), ("0.3", "2"), "MNIST/raw/*-ubyte"),
    "fashion-mnist": _torchvision(
        "fashion_mnist", (0.2860,), (0.3530,), ("0.1", "1.5"), "FashionMNIST/raw/*-ubyte"
    ),
    "cifar10": _torchvision(
        "cifar10",
        (0.4914, 0.4822, 0.4465),
        (0.2470, 0.2435, 0.2616),
        ("8/255", "0.5"),
        "cifar-10-batches-py/",
        mirrored=True,
    ),
    "cifar100": _torchvision(
        "cifar100",
        (0.5071, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2762),
        ("8/255", "0.5"),
        "cifar-100-python/",
        mirrored=True,
    ),
    "svhn": _torchvision(
        "svhn", (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970), ("8/255", "0.5"), "test_32x32.mat"
    ),
    "imagenet": DatasetEntry(
        factory="advbench.data.sources:imagenet",
        summary="ILSVRC 2012 as folders of images, 256 -> 224 centre crop",
        source="Russakovsky et al. 2015",
        normalization=IMAGENET,
        eps="4/255",
        expects="val/<wnid>/*.JPEG",
        mirrored=True,
    ),
    "imagefolder": DatasetEntry(
        factory="advbench.data.sources:imagefolder",
        summary="any folder of images, a folder a class, in alphabetical order",
        normalization=IMAGENET,
        eps="8/255",
        expects="<class>/*.jpg, or <split>/<class>/*.jpg",
        mirrored=True,
    ),
    "npz": DatasetEntry(
        factory="advbench.data.sources:npz",
        summary="arrays x (n, c, h, w), (n, h, w, c) or (n, h, w), and y (n,)",
        normalization=PIXELS,
        eps="8/255",
        expects="an .npz file of that name, or <split>.npz in a folder",
    ),
    "npy": DatasetEntry(
        factory="advbench.data.sources:npy",
        summary="arrays as in npz, x in a file that stays on the disk, y in labels.npy or y.npy beside it",
        normalization=PIXELS,
        eps="8/255",
        expects="an .npy file of that name, or <split>.npy, <split>/x.npy or x.npy in a folder",
    ),
    "csv": DatasetEntry(
        factory="advbench.data.sources:csv",
        summary="pictures that a .csv or .tsv file lists with their labels",
        normalization=IMAGENET,
        eps="8/255",
        expects="a .csv file of that name, or <split>.csv in a folder",
        mirrored=True,
    ),
    "webdataset": DatasetEntry(
        factory="advbench.data.sources:webdataset",
        summary="pictures and labels (.cls) in tar files",
        source="WebDataset",
        normalization=IMAGENET,
        eps="8/255",
        expects="a .tar file of that name, or <split>/*.tar or <split>-*.tar in a folder",
        mirrored=True,
    ),
    "hf": DatasetEntry(
        factory="advbench.data.sources:hf",
        summary="pictures in parquet or Arrow files of Hugging Face's datasets",
        source="Lhoest et al. 2021",
        normalization=IMAGENET,
        eps="8/255",
        expects="<split>*.parquet, or a folder of save_to_disk",
        downloads=True,
        mirrored=True,
        named=True,
    ),
}
