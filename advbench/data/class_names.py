"""Which output of the model stands for which class, told by a file of names."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from advbench.data.batches import Images
from advbench.data.images import LabelledImages
from advbench.data.labelled_pictures import LabelledPictures
from advbench.errors import DatasetError, nearest
from advbench.regular_files import open_regular

_LARGEST: Final = 8 << 20  # bytes of a file of names
_MOST: Final = 1_000_000  # outputs


class ClassNames(NamedTuple):
    """The model's outputs by the names of classes.

    Args:
        outputs: for each name its output; pairs, so that it can be compared and hashed.
        size: how many outputs there are.
    """

    outputs: tuple[tuple[str, int], ...]
    size: int


def read_class_names(path: Path) -> ClassNames:
    """Names one a line in the order of the outputs, or lines `index name`.

    Raises:
        DatasetError: unreadable, empty, a line without a name, or an index that is there twice.
    """
    lines = _text(path, "--classes").rstrip().splitlines()
    if not lines or not all(line.strip() for line in lines):
        empty = next((number for number, line in enumerate(lines, 1) if not line.strip()), 1)
        raise DatasetError(f"--classes {path}: line {empty} is empty; expected one name a line.")
    indexed = [re.fullmatch(r"(\d{1,7})\s+(\S.*)", line.strip()) for line in lines]
    if all(indexed):
        pairs = [(match[2], int(match[1])) for match in indexed if match is not None]
    else:
        pairs = [(line.strip(), number) for number, line in enumerate(lines)]
    return _checked(pairs, f"--classes {path}")


def read_class_index(path: Path) -> ClassNames:
    """ImageNet's `imagenet_class_index.json`: `{"0": ["n01440764", "tench"], ...}`; folders by either name.

    Raises:
        DatasetError: unreadable, or of another form.
    """
    where = f"--class-index {path}"
    wrong = DatasetError(f'{where}: expected {{"0": ["n01440764", "tench"], ...}}.')
    text = _text(path, "--class-index")
    try:
        entries: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise wrong from None
    if not isinstance(entries, Mapping) or not entries:
        raise wrong
    pairs: list[tuple[str, int]] = []
    for index, names in entries.items():
        listed = names if isinstance(names, list) else [names]
        named = bool(listed) and all(isinstance(name, str) for name in listed)
        if not named or not re.fullmatch(r"\d{1,7}", index, re.ASCII):
            raise wrong
        pairs += [(name, int(index)) for name in dict.fromkeys(listed)]
    return _checked(pairs, where, distinct=False)


def _text(path: Path, option: str) -> str:
    try:
        with open_regular(path) as file:
            contents = file.read(_LARGEST + 1)
        if len(contents) > _LARGEST:
            raise DatasetError(
                f"{option} {path} is larger than {_LARGEST >> 20} MiB: it is no file of names."
            )
        return contents.decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{option} {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise DatasetError(f"{option} {path} is no text in UTF-8.") from None


def _checked(pairs: Sequence[tuple[str, int]], where: str, *, distinct: bool = True) -> ClassNames:
    outputs = [output for _, output in pairs]
    if distinct and len(set(outputs)) < len(outputs):
        twice = next(output for output in outputs if outputs.count(output) > 1)
        raise DatasetError(f"{where}: index {twice} is there twice.")
    if max(outputs) >= _MOST:
        raise DatasetError(f"{where}: index {max(outputs)} is larger than any model has outputs.")
    return ClassNames(tuple(pairs), max(outputs) + 1)


def relabelled(images: LabelledImages, names: ClassNames) -> LabelledImages:
    """The same images, each labelled with the output that its class's name stands for.

    Raises:
        DatasetError: a data set without names, a class that is not among them, or two for one output.
    """
    if not images.classes:
        raise DatasetError(
            "its classes have no names, so that --classes and --class-index cannot order them."
        )
    outputs = _outputs(images.classes, names)
    shown = [str(number) for number in range(names.size)]
    for name, output in zip(images.classes, outputs, strict=True):
        shown[output] = name
    labels = np.asarray(outputs, np.int64)[images.labels]
    return LabelledImages(_renumbered(images.images, tuple(outputs)), labels, shown, tuple(outputs))


def named_outputs(classes: Sequence[str], names: ClassNames) -> ClassNames | None:
    """The outputs of a data set's classes by a model's own names; None where these do not say each of them.

    Capitals, hyphens and underscores make no difference.
    """
    known: dict[str, set[int]] = {}
    for name, output in names.outputs:
        known.setdefault(_plain(name), set()).add(output)
    outputs = [known.get(_plain(name), set()) for name in classes]
    if not classes or any(len(candidates) != 1 for candidates in outputs):
        return None
    pairs = tuple((name, min(candidates)) for name, candidates in zip(classes, outputs, strict=True))
    distinct = {output for _, output in pairs}
    return ClassNames(pairs, names.size) if len(distinct) == len(pairs) else None


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _renumbered(images: Images, outputs: tuple[int, ...]) -> Images:
    """The images with their labels through a table; a folder of pictures stays one."""
    if isinstance(images, LabelledPictures):
        return replace(images, targets=[outputs[label] for label in images.targets])
    return _Relabelled(images, outputs)


def _outputs(classes: Sequence[str], names: ClassNames) -> list[int]:
    known: dict[str, set[int]] = {}
    for name, output in names.outputs:
        known.setdefault(name, set()).add(output)
    missing = [name for name in classes if name not in known]
    if missing:
        more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
        raise DatasetError(
            f"class {missing[0]!r}{more} not in the file of --classes or --class-index. "
            f"{nearest(missing[0], list(known))}"
        )
    unclear = next((name for name in classes if len(known[name]) > 1), None)
    if unclear is not None:
        raise DatasetError(f"class {unclear!r} stands for outputs {sorted(known[unclear])} in the file.")
    outputs = [min(known[name]) for name in classes]
    if len(set(outputs)) < len(outputs):
        twice = next(output for output in outputs if outputs.count(output) > 1)
        both = [name for name, output in zip(classes, outputs, strict=True) if output == twice]
        raise DatasetError(f"classes {both[0]!r} and {both[1]!r} both stand for output {twice} in the file.")
    return outputs


@dataclass(frozen=True)
class _Relabelled:
    """Images whose labels go through a table."""

    images: Images
    outputs: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        image, label = self.images[index]
        return image, self.outputs[int(label)]
