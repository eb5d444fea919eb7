"""What an ONNX file takes and gives: layout, type, batch, and which output holds the logits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor

from advbench.errors import ModelError, printable

Layout = Literal["nchw", "nhwc", "flat"]

_TYPES: Final[Mapping[str, torch.dtype]] = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
    "tensor(uint8)": torch.uint8,
}
_FLOATS: Final = ("tensor(float)", "tensor(float16)", "tensor(double)")
_LEVELS: Final = 255.0
_CHANNELS: Final = (1, 3, 4)
_AT_ONCE: Final = 4096  # images; a batch of fewer is filled up to what the file says


@dataclass(frozen=True, kw_only=True)
class Interface:
    """How images are given to a file, and what is taken of its answer.

    Args:
        input_name: of its one input.
        output_name: of the logits.
        layout: `nchw`, `nhwc`, or `flat` for rows of pixels `(n, c * h * w)`.
        dtype: of its input; uint8 is given pixels in [0, 1] as levels from 0 to 255.
        batch: images that it takes at a time and no other number; None for any number.
        sides: c, h, w; None where the file leaves one open; of a flat one, the number of pixels.
        notes: what a table says of it.
    """

    input_name: str
    output_name: str
    layout: Layout
    dtype: torch.dtype
    batch: int | None
    sides: tuple[int | None, ...]
    notes: tuple[str, ...] = ()

    def given(self, x: Tensor) -> Tensor:
        """Pixels `(n, c, h, w)` in the file's layout and type, differentiably; levels stay floats here.

        Raises:
            ModelError: the file takes other sides.
        """
        self._check(x)
        if self.layout == "nhwc":
            x = x.permute(0, 2, 3, 1)
        elif self.layout == "flat":
            x = x.flatten(1)
        return x * _LEVELS if self.dtype == torch.uint8 else x.to(self.dtype)

    def as_levels(self, given: Tensor) -> Tensor:
        """What `given` returned, in 8 bits where the file takes these."""
        return given.round().clamp(0, _LEVELS).to(torch.uint8) if self.dtype == torch.uint8 else given

    def in_its_batches(self, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """`forward` in batches of the file's own size, the last one filled up with its last image."""
        if self.batch is None or len(x) == self.batch:
            return forward(x)
        parts = []
        for part in torch.split(x, self.batch):
            lack = self.batch - len(part)
            filled = torch.cat([part, part[-1:].expand(lack, *part.shape[1:])]) if lack else part
            parts.append(forward(filled)[: len(part)])
        return torch.cat(parts)

    def _check(self, x: Tensor) -> None:
        shape = (x[0].numel(),) if self.layout == "flat" else tuple(x.shape[1:])
        if all(side in (None, own) for side, own in zip(self.sides, shape, strict=True)):
            return
        wanted = " x ".join("any" if side is None else str(side) for side in self.sides)
        raise ModelError(
            f"the ONNX file takes images of {wanted} ({'pixels' if self.layout == 'flat' else 'c x h x w'}), "
            f"got {' x '.join(map(str, x.shape[1:]))}. Give --image-size or --channels, or another data set."
        )


def interface_of(inputs: Sequence[Any], outputs: Sequence[Any], wanted: str | None) -> Interface:
    """What a session of onnxruntime tells of its file.

    Args:
        inputs: `session.get_inputs()`, each with `name`, `type` and `shape`.
        outputs: `session.get_outputs()`.
        wanted: the output that holds the logits, by its name; None to choose it.

    Raises:
        ModelError: several inputs, one that is no picture, a batch of too many images, or no output that is
            certainly the logits.
    """
    if len(inputs) != 1:
        raise ModelError(
            f"the ONNX file has {len(inputs)} inputs ({_names(inputs)}), and a classifier of images has one."
        )
    (own,) = inputs
    dtype = _TYPES.get(own.type)
    if dtype is None:
        raise ModelError(
            f"the ONNX file's input {printable(own.name)!r} is {own.type}; pictures go into "
            f"{', '.join(_TYPES)}."
        )
    shape = [side if isinstance(side, int) and side > 0 else None for side in own.shape]
    layout, sides = _layout(shape, own)
    output, note = _logits(outputs, wanted)
    notes = [note] if note else []
    if layout != "nchw":
        what = "n, h, w, c" if layout == "nhwc" else "n, pixels"
        notes.append(f"the ONNX file takes images as ({what}), by the shape of its input")
    if dtype == torch.uint8:
        notes.append("the ONNX file takes uint8: pixels are rounded to 256 levels in front of it")
    batch = shape[0]
    if batch is not None:
        if batch > _AT_ONCE:
            raise ModelError(
                f"the ONNX file takes {batch:,} images at a time and no fewer, more than {_AT_ONCE:,}: "
                "export it with a dynamic batch."
            )
        notes.append(f"the ONNX file takes {batch} image{'s' * (batch > 1)} at a time")
    return Interface(
        input_name=own.name,
        output_name=output,
        layout=layout,
        dtype=dtype,
        batch=batch,
        sides=sides,
        notes=tuple(notes),
    )


def _layout(shape: list[int | None], own: Any) -> tuple[Layout, tuple[int | None, ...]]:
    if len(shape) == 2:
        return "flat", (shape[1],)
    if len(shape) != 4:
        raise ModelError(
            f"the ONNX file's input {printable(own.name)!r} has the shape {own.shape}; pictures are "
            "(n, c, h, w), (n, h, w, c) or (n, pixels)."
        )
    _, first, second, last = shape
    if last in _CHANNELS and first not in _CHANNELS:
        return "nhwc", (last, first, second)
    return "nchw", (first, second, last)


def _logits(outputs: Sequence[Any], wanted: str | None) -> tuple[str, str]:
    """The output of the logits, and a note where it was chosen among several."""
    if wanted is not None:
        if wanted not in {output.name for output in outputs}:
            raise ModelError(f"the ONNX file has no output {wanted!r}. It has: {_names(outputs)}.")
        return wanted, ""
    fitting = [
        output
        for output in outputs
        if output.type in _FLOATS and (not output.shape or len(output.shape) == 2)
    ]
    named = [output for output in fitting if output.name == "logits"] or fitting
    if len(named) == 1:
        name = str(named[0].name)
        chosen = f"the ONNX file gives {_names(outputs)}; {printable(name)!r} is taken for the logits"
        return name, chosen if len(outputs) > 1 else ""
    if named:
        raise ModelError(
            f"the ONNX file has several outputs that may be logits: {_names(named)}. Name one: "
            "--model FILE.onnx:output=NAME."
        )
    kinds = ", ".join(f"{printable(output.name)!r} {output.type} {output.shape}" for output in outputs)
    advice = " skl2onnx gives arrays with options={'zipmap': False}." if "map(" in kinds else ""
    raise ModelError(f"the ONNX file has no output of logits (n, classes): {kinds}.{advice}")


def _names(values: Sequence[Any]) -> str:
    return ", ".join(repr(printable(value.name)) for value in values)
