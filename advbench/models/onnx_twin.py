"""The differentiable twin of an ONNX file: converted by onnx2pytorch, and refused where it differs."""

import tempfile
import warnings
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from advbench.errors import AdvbenchError, ModelError, first_line, printable
from advbench.models.libraries import load_library
from advbench.models.onnx_file import EXTRA, OnnxFile
from advbench.models.onnx_interface import Interface
from advbench.models.onnx_model import Judge, start_session
from advbench.results.surrogates import ENOUGH

_TOLERANCES: Final = {torch.float16: 2e-2}
_TOLERANCE: Final = 1e-3
"""How far logits may differ, relative to the largest one; a file of float16 rounds by as much as 2 %."""

_STEP: Final = 2e-3
_LONG_STEP: Final = 0.05
"""Half the distance of two points whose logits are compared, in pixels; the long one leads over the steps of
a quantiser, and out of the roundings of float16."""
_DIRECTIONS: Final = 16
_ALIKE: Final = 0.9
_ROUGHLY_ALIKE: Final = 0.5
_MOVED: Final = 0.1  # how far perturbed images lie from clean ones, in pixels
_EPSILON: Final = 1.2e-7  # of float32
_NOISE: Final = 16.0  # times the rounding of logits, below which a difference says nothing


class NoTwinError(AdvbenchError):
    """There is no twin of a file; the message says why, as the end of a sentence."""


class Comparison(NamedTuple):
    """How a twin compares with its file.

    Args:
        difference: the largest one of logits, relative to the largest logit.
        agreeing: images whose labels agree.
        n: images, clean and perturbed.
        likeness: cosine of the twin's directional derivatives and the file's differences; None where the
            file's logits move too little to tell.
        straight: how many operators are passed straight through.
    """

    difference: float
    agreeing: int
    n: int
    likeness: float | None
    straight: int

    @property
    def sentence(self) -> str:
        """What is said of it."""
        roundings = "rounding" if self.straight == 1 else "roundings"
        through = f" straight through its {self.straight} {roundings} (BPDA)" if self.straight else ""
        alike = (
            "its logits move too little to compare gradients"
            if self.likeness is None
            else f"derivatives {self.likeness:.2g} alike (cosine) to differences of the file"
        )
        return (
            f"the ONNX file is judged by onnxruntime, and differentiated along a twin in torch{through}: the "
            f"same label on {self.agreeing} of {self.n} clean and perturbed images, logits within "
            f"{self.difference:.1g} of the largest, {alike}"
        )


class Twin(nn.Module):
    """A converted graph behind the file's own interface.

    Args:
        graph: the module of onnx2pytorch.
        interface: of the file.
        place: of the logits among the graph's outputs.
        straight: how many of its operators are passed straight through.
    """

    def __init__(self, graph: nn.Module, interface: Interface, place: int, straight: int) -> None:
        super().__init__()
        self.graph = graph
        self.interface = interface
        self.place = place
        self.straight = straight

    @property
    def moves_in_steps(self) -> bool:
        """Whether the file rounds what it is given or computes."""
        return self.straight > 0 or self.interface.dtype == torch.uint8

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`, with a gradient."""
        return self.interface.in_its_batches(self._called, self.interface.given(x)).to(x.dtype)

    def _called(self, given: Tensor) -> Tensor:
        levels = _straight(given.round(), given) if self.interface.dtype == torch.uint8 else given
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the converter's indexing
            outputs = self.graph(levels)
        logits: Tensor = outputs[self.place] if isinstance(outputs, list) else outputs
        return logits


class _Straight(nn.Module):
    """A rounding function with the gradient of the identity, or of a clip to [-1, 1] where it is the sign."""

    def __init__(self, function: nn.Module, *, clips: bool) -> None:
        super().__init__()
        self.function = function
        self.clips = clips

    def forward(self, x: Tensor) -> Tensor:
        return _straight(self.function(x.detach()), x.clamp(-1.0, 1.0) if self.clips else x)


class _StraightQuantizer(nn.Module):
    """QuantizeLinear, whose levels have the gradient of `x / scale + zero`, clipped to the type's range."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        levels = self.function(x.detach(), scale, zero)
        kind = torch.finfo(levels.dtype) if levels.is_floating_point() else torch.iinfo(levels.dtype)
        own = x / _along(scale, x, self.function.dim)
        if zero is not None:
            own = own + _along(zero.to(x.dtype), x, self.function.dim)
        return _straight(levels.to(x.dtype), own.clamp(kind.min, kind.max))


def _along(values: Tensor, x: Tensor, dim: int) -> Tensor:
    if values.dim() == 0 or values.numel() == 1:
        return values.reshape(())
    shape = [1] * x.dim()
    shape[dim] = -1
    return values.reshape(shape)


def _straight(value: Tensor, gradient_of: Tensor) -> Tensor:
    """`value`, bit for bit, with the gradient of another tensor."""
    return value.detach() + (gradient_of - gradient_of.detach())


def make_twin(file: OnnxFile, judge: Judge, device: torch.device) -> Twin:
    """Convert a file.

    onnxruntime folds constants and takes out identities first; weights kept as integers are folded here.

    Raises:
        NoTwinError: an operator that cannot be converted.
        InputError: onnx2pytorch is not installed.
    """
    converter = load_library(EXTRA, "onnx2pytorch")
    onnx = load_library(EXTRA, "onnx")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of domains and of copies; nothing that a user can change
        prepared = Path(folder) / "prepared.onnx"
        try:
            start_session(file, torch.device("cpu"), prepared_as=str(prepared))
            model = onnx.load(str(prepared), load_external_data=False)
            onnx.external_data_helper.load_external_data_for_model(model, str(file.path.parent.resolve()))
            fold_weights(onnx, model)
            graph = converter.ConvertModel(model)
        except Exception as error:  # a converter may raise anything
            raise NoTwinError(f"onnx2pytorch cannot convert it ({_reason(error)})") from error
    straight = _let_through(graph)
    for parameter in graph.parameters():
        parameter.requires_grad_(False)
    place = [output.name for output in model.graph.output].index(judge.interface.output_name)
    # onnx2pytorch hands its module over in train mode.
    return Twin(graph.eval().to(device), judge.interface, place, straight).eval()


def _reason(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {first_line(error)}")[:200]


def fold_weights(onnx: Any, model: Any) -> None:
    """Compute what is made of constants alone by DequantizeLinear and Cast, and drop idle attributes."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            idle = [own for own in node.attribute if own.name == "training_mode" and own.i == 0]
            for attribute in idle:
                node.attribute.remove(attribute)
        names = [name for name in node.input if name]
        if node.op_type not in ("Cast", "DequantizeLinear") or not all(name in constants for name in names):
            kept.append(node)
            continue
        arrays = [onnx.numpy_helper.to_array(constants[name]) for name in names]
        options = {own.name: own.i for own in node.attribute}
        if node.op_type == "Cast":
            value = arrays[0].astype(onnx.helper.tensor_dtype_to_np_dtype(options["to"]))
        else:
            value = _dequantized(arrays, options)
        constants[node.output[0]] = onnx.numpy_helper.from_array(value, node.output[0])
        graph.initializer.append(constants[node.output[0]])
    del graph.node[:]
    graph.node.extend(kept)


def _dequantized(arrays: list[np.ndarray[Any, Any]], options: dict[str, int]) -> np.ndarray[Any, Any]:
    levels, scale = arrays[0].astype(np.float32), arrays[1]
    if options.get("block_size"):
        raise NotImplementedError("DequantizeLinear with blocks")
    shape = [1] * levels.ndim
    if scale.size > 1:
        shape[options.get("axis", 1)] = -1
    zero = arrays[2].astype(np.float32).reshape(shape) if len(arrays) > 2 else 0.0
    return ((levels - zero) * scale.astype(np.float32).reshape(shape)).astype(scale.dtype)


_ROUNDINGS: Final = ("round", "floor", "ceil", "sign")


def _let_through(graph: nn.Module) -> int:
    """Put straight-through functions in place of roundings; how many there were."""
    count = 0
    for name, module in list(graph.named_children()):
        word = getattr(module, "op_name", "")
        if type(module).__name__ == "QuantizeLinear":
            setattr(graph, name, _StraightQuantizer(module))
        elif word in _ROUNDINGS:
            setattr(graph, name, _Straight(module, clips=word == "sign"))
        else:
            continue
        count += 1
    return count


def compared(judge: Judge, twin: Twin, x: Tensor) -> Comparison:
    """Hold a twin against its file, on images, on perturbed ones, and along random directions.

    Args:
        judge: the file under onnxruntime.
        twin: its twin.
        x: clean images, `(n, c, h, w)`.

    Raises:
        NoTwinError: it differs; the message says in what, and by how much.
    """
    generator = torch.Generator().manual_seed(0)
    moved = (x + _MOVED * _signs(x, generator)).clamp(0.0, 1.0)
    points = torch.cat([x, moved])
    name = judge.interface.output_name
    theirs = judge(points)
    try:
        with torch.no_grad():
            own = twin(points)
    except Exception as error:  # a converted graph may raise anything
        raise NoTwinError(f"its twin by onnx2pytorch fails ({_reason(error)})") from error
    if own.shape != theirs.shape:
        raise NoTwinError(
            f"its twin is refused: output {name!r} has the shape {tuple(own.shape)}, that of the file "
            f"{tuple(theirs.shape)}"
        )
    largest = float(theirs.abs().max())
    difference = float((own - theirs).abs().max()) / max(largest, 1e-30)
    agreeing, n = int((own.argmax(1) == theirs.argmax(1)).sum()), len(points)
    allowed = _TOLERANCES.get(judge.interface.dtype, _TOLERANCE)
    steps = twin.moves_in_steps
    if not (agreeing >= ENOUGH * n if steps else difference <= allowed):
        limit = f"{100 * ENOUGH:.0f} % of labels" if steps else f"{allowed:g} of the largest logit"
        raise NoTwinError(
            f"its twin is refused: output {name!r} differs by {difference:.2g} of the largest logit, and "
            f"{agreeing} of {n} labels agree (asked for: {limit})"
        )
    likeness = _likeness(judge, twin, x, generator, largest)
    return Comparison(difference, agreeing, n, likeness, twin.straight)


def _likeness(
    judge: Judge, twin: Twin, x: Tensor, generator: torch.Generator, largest: float
) -> float | None:
    """How alike the twin's directional derivatives and differences of the file are."""
    coarse = twin.moves_in_steps or judge.interface.dtype == torch.float16
    step = _LONG_STEP if coarse else _STEP
    inner = x.clamp(step, 1.0 - step)
    grad, weights = _gradient(twin, inner)
    differences, derivatives = [], []
    for _ in range(_DIRECTIONS):
        u = _signs(x, generator)
        change = (judge(inner + step * u) - judge(inner - step * u)) * weights
        differences.append(change.sum(1) / (2.0 * step))
        derivatives.append((grad * u).flatten(1).sum(1))
    a, b = torch.stack(differences).double().flatten(), torch.stack(derivatives).double().flatten()
    if float(a.square().mean().sqrt()) <= _NOISE * _EPSILON * largest / step:
        return None
    cosine = float(a @ b / (a.norm() * b.norm()).clamp_min(1e-300))
    least = _ROUGHLY_ALIKE if coarse else _ALIKE
    if not cosine >= least:
        is_zero = not bool(b.any())
        what = "zero, unlike" if is_zero else f"{cosine:.2g} alike (cosine; asked for: {least:g}) to"
        raise NoTwinError(
            f"its twin is refused: the gradient of output {judge.interface.output_name!r} is {what} "
            "differences of the file along random directions"
        )
    return cosine


def _gradient(twin: Twin, x: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of a fixed mixture of the logits, and the mixture's weights."""
    with torch.enable_grad():
        point = x.detach().clone().requires_grad_()
        try:
            logits = twin(point)
            weights = torch.arange(1.0, logits.shape[1] + 1.0, device=x.device).cos().to(logits.dtype)
            grad = None
            if logits.requires_grad:
                (grad,) = torch.autograd.grad((logits * weights).sum(), point, allow_unused=True)
        except Exception as error:  # a converted graph may raise anything
            raise NoTwinError(f"its twin passes no gradient ({_reason(error)})") from error
    return (torch.zeros_like(x) if grad is None else grad), weights


def _signs(x: Tensor, generator: torch.Generator) -> Tensor:
    signs = 2 * torch.randint(0, 2, x.shape, generator=generator) - 1
    return signs.to(device=x.device, dtype=x.dtype)


def check_readable(judge: Judge, x: Tensor) -> None:
    """See whether a file takes images of a data set, before a twin is looked for.

    Raises:
        ModelError: it does not.
    """
    logits = judge(x)
    if logits.dim() != 2 or len(logits) != len(x):
        raise ModelError(
            f"the ONNX file gives {tuple(logits.shape)} for {len(x)} images, and logits are (n, classes)."
        )
