"""An ONNX file as the model of a run: judged by onnxruntime, differentiated along a twin if it has one."""

from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from advbench.data.batches import read_batch
from advbench.data.images import LabelledImages
from advbench.errors import SpecError
from advbench.jobs.settings.subject import SubjectOptions
from advbench.models.checkpoint.load import Loaded
from advbench.models.libraries import load_library
from advbench.models.onnx_file import EXTRA, OnnxFile, read_onnx
from advbench.models.onnx_model import CPU, Judge, OnnxModel
from advbench.models.onnx_twin import Comparison, NoTwinError, Twin, check_readable, compared, make_twin
from advbench.models.registry import PIXELS
from advbench.names.grammar import Spec

_LOOKED_AT: Final = 16
"""Images on which a twin is held against its file, and as many perturbed ones."""
_OUTPUT: Final = "output"
_GRADIENT: Final = "gradient"
_NONE: Final = "none"


def load_onnx(
    options: SubjectOptions, spec: Spec, images: LabelledImages, device: torch.device
) -> tuple[Loaded, None, Path]:
    """The classifier in a file, as a source has it: without an entry, and with the file.

    Args:
        options: the words.
        spec: `FILE.onnx`, with `output=NAME` where the logits are one of several outputs.
        images: the data set, on whose first images the twin is checked.
        device: where the images are.

    Raises:
        InputError: options that do not fit, or a file that cannot be judged with.
    """
    _check_options(options, spec)
    path = Path(spec.name).expanduser()
    file = read_onnx(path)
    judge = Judge(file, device, spec.parameters.get(_OUTPUT))
    x = _fitting(read_batch(images, range(min(_LOOKED_AT, len(images)))).x.to(device), judge)
    check_readable(judge, x)
    twin, comparison, notes = _twin(file, judge, x, device)
    remarks = judge.interface.notes
    if comparison is not None and not comparison.straight:
        remarks = (*remarks, comparison.sentence)
    record = {
        "onnx": {
            **file.record,
            "provider": judge.provider,
            "onnxruntime": str(load_library(EXTRA, "onnxruntime").__version__),
            _GRADIENT: _NONE if twin is None else "twin by onnx2pytorch",
        }
    }
    takes_levels = judge.interface.dtype == torch.uint8
    loaded = Loaded(
        OnnxModel(judge, twin, device),
        f"ONNX, {judge.provider}",
        (*notes, *_probabilities(file, judge), *_halves(file, judge)),
        remarks,
        normalization=PIXELS if takes_levels else None,
        normalization_keys=("levels of uint8",) if takes_levels else (),
        record=record,
    )
    return loaded, None, path


def lacks_gradient(provenance: dict[str, Any]) -> bool:
    """Whether a run's model is a file without a twin, from what `run.json` is told of it."""
    return bool(provenance.get("onnx", {}).get(_GRADIENT) == _NONE)


def _check_options(options: SubjectOptions, spec: Spec) -> None:
    unknown = next((name for name in spec.parameters if name != _OUTPUT), None)
    if unknown is not None:
        raise SpecError(f"an ONNX file has no parameter {unknown!r}. Known: {_OUTPUT}.")
    given = {
        "--checkpoint": options.checkpoint,
        "--weights": options.weights,
        "--member": options.members,
        "--untrained": options.untrained,
    }
    word = next((word for word, value in given.items() if value), None)
    if word is not None:
        raise SpecError(f"{spec.name} holds its own weights: {word} does not go with it.")


def _fitting(x: Tensor, judge: Judge) -> Tensor:
    """Images in one channel, where the file takes one: pictures are fitted to the network later."""
    is_colour = x.shape[1] == 3 and judge.interface.layout != "flat"
    return x[:, :1] if is_colour and judge.interface.sides[0] == 1 else x


def _twin(
    file: OnnxFile, judge: Judge, x: Tensor, device: torch.device
) -> tuple[Twin | None, Comparison | None, tuple[str, ...]]:
    """The twin that holds against the file, and what the table says of it or of its lack."""
    try:
        twin = make_twin(file, judge, device)
        comparison = compared(judge, twin, x)
    except NoTwinError as error:
        sentence = f"the ONNX file has no gradient: {error}; it is attacked without gradients alone"
        return None, None, (sentence,)
    return twin, comparison, ((comparison.sentence,) if comparison.straight else ())


def _halves(file: OnnxFile, judge: Judge) -> tuple[str, ...]:
    """A word on a file in float16, which onnxruntime (up to 1.32) computes in float32 on the CPU.

    It rounds nothing between two operators that have no kernel for float16, as nearly all have none, even
    where it is told to optimise nothing (`InsertCastTransformer`).
    """
    if judge.provider != CPU or not file.computes_in_half:
        return ()
    return (
        "the ONNX file computes in float16, and onnxruntime computes it in float32 on the CPU: it rounds and "
        "overflows less than on a GPU, and a defense that rounds to float16 may do nothing here",
    )


def _probabilities(file: OnnxFile, judge: Judge) -> tuple[str, ...]:
    """A word on a file whose last operator makes probabilities."""
    makers = {name: node.op_type for node in file.model.graph.node for name in node.output}
    if makers.get(judge.interface.output_name) != "Softmax":
        return ()
    return (
        "the ONNX file ends in a Softmax: its outputs are probabilities, whose gradients saturate "
        "(--attack pgd:loss=margin)",
    )
